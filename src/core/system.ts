import type { SolveStats } from './errors.js';
import type { StateSpace } from './space.js';

/** Zeroed counters. */
export function newStats(): SolveStats {
  return { steps: 0, accepted: 0, rejected: 0, nfe: 0, njev: 0, lastStep: 0 };
}

/** The initial value problem's right-hand side `dy/dt = f(t, y)` on a space of states. */
export class System<S> {
  private lower = -Infinity;
  private upper = Infinity;
  private readonly adopts: boolean;

  constructor(
    readonly space: StateSpace<S>,
    private readonly field: (t: number, y: S) => S,
    readonly stats: SolveStats,
  ) {
    this.adopts = !space.garbageCollected;
  }

  /**
   * Bounds the times the vector field may see. At a discontinuity the steps on both sides meet in one `t`; each is
   * shown only its own side.
   */
  restrict(from: number, to: number): void {
    this.lower = Math.min(from, to);
    this.upper = Math.max(from, to);
  }

  /** The bounds in force, for `restrict`. */
  bounds(): readonly [number, number] {
    return [this.lower, this.upper];
  }

  /** The time that func is shown for `t`. */
  seen(t: number): number {
    return t < this.lower ? this.lower : t > this.upper ? this.upper : t;
  }

  /** The same right-hand side for states of another space, with counters of its own. */
  on(space: StateSpace<S>): System<S> {
    return new System(space, this.field, newStats());
  }

  /** `f(t, y)`, owned by the space. */
  evaluate(t: number, y: S): S {
    this.stats.nfe++;
    const dy = this.field(this.seen(t), y);
    return this.adopts ? this.space.adopt(dy) : dy;
  }
}
