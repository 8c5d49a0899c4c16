/** One derivative, by a mode and by central differences. */
export interface GradcheckEntry {
  /** What is moved: `y0[1]`, `t[0]`, `args.rate`, or `w, direction 3` for one of several random directions. */
  entry: string;
  /** Derivative of the loss by the mode. */
  gradient: number;
  /** Derivative of the loss by differences. */
  difference: number;
  /**
   * `|gradient - difference|` over a scale: that of the difference, at least a tenth of the largest one of this input.
   */
  error: number;
  /** How much of the error the difference itself may have, measured, over the same scale. */
  noise: number;
  /** The largest error that passes: `gradRtol`, and over the same scale `gradAtol` and the noise. */
  allowed: number;
  passed: boolean;
}

/** One mode against one input: its worst entry, and all of them. */
export interface GradcheckRow extends GradcheckEntry {
  /** `'tape'`, or an `adjoint` of `odeintAdjoint` and `odeintVjp`. */
  mode: string;
  /** `y0`, or a leaf of it such as `y0.q`; `t`; the name of a variable; `args`, or a tensor in it such as `args.rate`. */
  input: string;
  entries: readonly GradcheckEntry[];
  /** Why there is no gradient, or no difference; the numbers are NaN then. */
  failure?: string;
  /** What limits the verdict. */
  note?: string;
}

/** What `gradcheck` found. */
export interface GradcheckReport {
  /** Whether every row passed. None does when no input changes the loss. */
  passed: boolean;
  rows: readonly GradcheckRow[];
  /** The rows as text; its last line says which modes can be trusted. */
  table: string;
}
