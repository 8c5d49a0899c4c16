import type { Tensor } from '@tensorflow/tfjs-core';
import { stepAt } from '../src/core/locate_step.js';
import type { Problem } from '../src/core/problem.js';
import type { Stepper, StepState } from '../src/core/stepper.js';
import type { System } from '../src/core/system.js';
import type { TensorSpace, TensorState } from '../src/core/tensor_space.js';
import type { Recording } from './checkpoint.js';

/** A step that was run again, for its interpolant. */
interface OpenStep {
  system: System<TensorState>;
  state: StepState<TensorState>;
}

/* Backward steps straddle forward ones: this many are at hand at once. */
const openAtOnce = 4;

/** The forward solution as a function of time, from the state before each of its steps. */
export class RecordedTrajectory {
  private readonly open = new Map<number, OpenStep>();

  constructor(
    private readonly problem: Problem<TensorState>,
    private readonly stepper: Stepper,
    private readonly recording: Recording<TensorState>,
  ) {}

  /** Leaves of `y(t)`, in the scope of the caller. */
  at(t: number): Tensor[] {
    const n = stepAt(this.recording.steps, t, this.problem.direction);
    const { system, state } = this.open.get(n) ?? this.run(n);
    const space = system.space as TensorSpace;
    const y = this.stepper.interpolate(system, state, t);
    const leaves = space.unpack(y).map((leaf) => leaf.clone());
    space.release(y);
    return leaves;
  }

  dispose(): void {
    for (const { system } of this.open.values()) system.space.releaseAll();
    this.open.clear();
  }

  private run(n: number): OpenStep {
    const { t0, t1, bounds } = this.recording.steps[n];
    const space = this.problem.space.sibling();
    const system = this.problem.system.on(space);
    const opened: OpenStep = {
      system,
      state: this.stepper.init(system, t0, space.copy(this.recording.kept.get(n)!)),
    };
    this.open.set(n, opened);
    system.restrict(...bounds);
    opened.state = this.stepper.step(system, opened.state, t1);
    if (this.open.size > openAtOnce) {
      const [oldest] = this.open.keys();
      this.open.get(oldest)!.system.space.releaseAll();
      this.open.delete(oldest);
    }
    return opened;
  }
}
