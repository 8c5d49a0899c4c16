import { stepAt } from '../src/core/locate_step.js';
import type { Problem } from '../src/core/problem.js';
import type { StepState } from '../src/core/stepper.js';
import type { System } from '../src/core/system.js';
import { resume, type Recording } from './checkpoint.js';

/** A step that was run again, for its interpolant. */
interface OpenStep<S> {
  system: System<S>;
  state: StepState<S>;
}

/* Backward steps straddle forward ones: this many are at hand at once. */
const openAtOnce = 4;

/** The forward solution as a function of time, from what was carried before each of its steps. */
export class RecordedTrajectory<S> {
  private readonly open = new Map<number, OpenStep<S>>();

  constructor(
    private readonly problem: Problem<S>,
    private readonly recording: Recording<S>,
  ) {}

  /** `y(t)`, lent to `use`. */
  at<T>(t: number, use: (y: S) => T): T {
    const n = stepAt(this.recording.steps, t, this.problem.direction);
    const { system, state } = this.open.get(n) ?? this.run(n);
    const y = this.problem.stepper.interpolate(system, state, t);
    const result = use(y);
    system.space.release(y);
    return result;
  }

  dispose(): void {
    for (const { system } of this.open.values()) system.space.releaseAll();
    this.open.clear();
  }

  private run(n: number): OpenStep<S> {
    const { recording } = this;
    const { stepper, space, system: forward } = this.problem;
    const { t1, bounds } = recording.steps[n];
    const system = forward.on(space.sibling());
    const opened = { system, state: resume(stepper, system, recording, n, recording.kept.get(n)!) };
    this.open.set(n, opened);
    system.restrict(...bounds);
    opened.state = stepper.step(system, opened.state, t1);
    if (this.open.size > openAtOnce) {
      const [oldest] = this.open.keys();
      this.open.get(oldest)!.system.space.releaseAll();
      this.open.delete(oldest);
    }
    return opened;
  }
}
