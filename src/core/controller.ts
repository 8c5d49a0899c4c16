import { describe, InvalidArgumentError } from './errors.js';
import { nearest, positive } from './options.js';

/** Step size control: by name, or by the gains of a PID controller. */
export type ControllerOption = 'i' | 'pi' | 'pid' | { pCoeff?: number; iCoeff?: number; dCoeff?: number };

interface Gains {
  p: number;
  i: number;
  d: number;
}

/* PI: Soderlind's PI3040. PID: the default of ARKODE, https://doi.org/10.1145/3594632. */
const named: Record<string, Gains> = {
  i: { p: 0, i: 1, d: 0 },
  pi: { p: 0.4, i: 0.3, d: 0 },
  pid: { p: 0.01, i: 0.47, d: 0.1 },
};

/**
 * Chooses step sizes from the errors of the last three steps. With errors e in units of the tolerance, k the order of
 * the error estimate plus one, and gains p, i, d:
 * `h' = h safety e_n^(-(p + i + d) / k) e_(n-1)^((p + 2 d) / k) e_(n-2)^(-d / k)`.
 *
 * Source: Soderlind 2003, https://doi.org/10.1145/641876.641877.
 */
export class StepController {
  private readonly safety: number;
  private readonly ifactor: number;
  private readonly dfactor: number;
  private readonly gains: Gains;
  /* Logarithms of the errors of the last two steps. */
  private previous = 0;
  private beforePrevious = 0;
  private rejectedLast = false;

  constructor(
    options: { safety?: number; ifactor?: number; dfactor?: number; controller?: ControllerOption },
    private readonly k: number,
  ) {
    this.safety = positive(options, 'safety', 0.9);
    this.ifactor = positive(options, 'ifactor', 10);
    this.dfactor = positive(options, 'dfactor', 0.2);
    if (this.safety > 1)
      throw new InvalidArgumentError(`safety is ${this.safety}; expected a number up to 1.`);
    if (this.ifactor < 1) throw new InvalidArgumentError(`ifactor is ${this.ifactor}; expected at least 1.`);
    if (this.dfactor >= 1)
      throw new InvalidArgumentError(`dfactor is ${this.dfactor}; expected less than 1.`);
    this.gains = gainsOf(options.controller ?? 'i');
  }

  /** Factor to the next step after an accepted one. */
  grow(error: number): number {
    const { p, i, d } = this.gains;
    const e = Math.log(Math.max(error, 1e-10));
    const exponent = (p + 2 * d) * this.previous - (p + i + d) * e - d * this.beforePrevious;
    const factor = this.safety * Math.exp(exponent / this.k);
    this.beforePrevious = this.previous;
    this.previous = e;
    // A step that has just been too long is not tried longer at once.
    const ceiling = this.rejectedLast ? 1 : this.ifactor;
    this.rejectedLast = false;
    return Math.min(ceiling, Math.max(this.dfactor, factor));
  }

  /** Factor to the next attempt after a rejected one; the error is NaN when something was not finite. */
  shrink(error: number): number {
    this.rejectedLast = true;
    if (!Number.isFinite(error)) return this.dfactor;
    const factor = this.safety * error ** (-1 / this.k);
    return Math.max(this.dfactor, Math.min(this.safety, factor));
  }
}

function gainsOf(option: ControllerOption): Gains {
  if (typeof option === 'string') {
    if (Object.hasOwn(named, option)) return named[option];
    const suggestion = nearest(option, Object.keys(named));
    throw new InvalidArgumentError(
      `unknown controller '${option}'; ${suggestion ? `did you mean '${suggestion}'?` : "expected 'i', 'pi' or 'pid'."}`,
    );
  }
  if (typeof option !== 'object' || option === null) {
    throw new InvalidArgumentError(`controller is ${describe(option)}; expected 'i', 'pi', 'pid' or gains.`);
  }
  const { pCoeff = 0, iCoeff = 0, dCoeff = 0, ...rest } = option;
  const [unknown] = Object.keys(rest);
  if (unknown) throw new InvalidArgumentError(`unknown gain ${unknown}; expected pCoeff, iCoeff, dCoeff.`);
  for (const gain of [pCoeff, iCoeff, dCoeff]) {
    if (!Number.isFinite(gain))
      throw new InvalidArgumentError(`controller gain is ${gain}; expected a number.`);
  }
  if (!(pCoeff + iCoeff + dCoeff > 0)) {
    throw new InvalidArgumentError(
      'the controller gains add up to nothing positive: steps would not react to errors.',
    );
  }
  return { p: pCoeff, i: iCoeff, d: dCoeff };
}
