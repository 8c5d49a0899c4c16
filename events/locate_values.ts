import { concat, engine, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../src/core/errors.js';
import { eventTolerance, type CheckedEvent, type EventPlan, type EventValues } from '../src/core/events.js';
import type { Problem } from '../src/core/problem.js';
import { readNorm, type Reading } from '../src/core/reading.js';
import { DeviceRead, type ErrorNorm } from '../src/core/space.js';
import type { StepState } from '../src/core/stepper.js';
import { scoped, untaped } from '../src/core/tape.js';
import { isTensor } from '../src/core/tree.js';

/** Values of all event functions at one time: numbers, or tensors to be read. */
export type Values<S> = ReturnType<EventValues<S>>;

/** Evaluates event functions along a step of a solve, and reads what they say. */
export class EventSampler<S> {
  readonly eventTol: number;
  /** Parts of each step at whose ends the functions are looked at. */
  readonly samples: number;
  /** Components of all event functions. */
  count = 0;
  /* Of each event function. */
  private sizes: number[] = [];

  constructor(
    private readonly plan: EventPlan,
    private readonly values: EventValues<S>,
    readonly plain: boolean,
  ) {
    this.eventTol = eventTolerance(plan, plain);
    this.samples = plan.samples ?? (plain ? 8 : 4);
  }

  /** The values at the start, and on tensors once more with the state moved by rounding. */
  *begin(problem: Problem<S>, state: StepState<S>): Reading<Float64Array> {
    const { y0, t0 } = state;
    const points = untaped(() => {
      const slope = this.needsSlope() ? problem.stepper.slope(problem.system, state) : null;
      const shaken = this.plain ? [] : [true];
      return disposedOnThrow([false, ...shaken], (shake) => this.values(t0, y0, slope, shake));
    });
    this.sizes = points[0].map(sizeOf);
    this.count = this.sizes.reduce((sum, size) => sum + size);
    return Float64Array.from(yield* this.read(points));
  }

  /** The directions that count, of every component. */
  directions(): Int8Array {
    const all = this.plan.events.flatMap(({ direction, name }, i) => {
      if (typeof direction === 'number') return new Array<number>(this.sizes[i]).fill(direction);
      if (direction.length === this.sizes[i]) return [...direction];
      throw new InvalidArgumentError(
        `direction of '${name}' has ${direction.length} entries, and its eventFn ${this.sizes[i]} components; give one ` +
          'for each, or one number.',
      );
    });
    return Int8Array.from(all);
  }

  private needsSlope(): boolean {
    return this.plan.events.some((event) => event.whileNegative);
  }

  /** Joins a read of the step's error and one of its values: the device is waited for once. */
  attach(
    norm: DeviceRead,
    values: readonly Values<S>[],
    onRead: (values: ArrayLike<number>) => void,
  ): ErrorNorm {
    const count = norm.tensor.size;
    return scopedRead(
      () => concat([reshape(norm.tensor, [count]), ...values.flat().map(flat)]),
      (all) => {
        onRead(Array.from(all).slice(count));
        return norm.finish(Array.from(all).slice(0, count));
      },
      [norm.tensor, ...(values.flat() as Tensor[])],
    );
  }

  /** Values at the ends of all parts of a step but its beginning. */
  sample(problem: Problem<S>, state: StepState<S>): Values<S>[] {
    return this.valuesAt(
      problem,
      state,
      Array.from({ length: this.samples }, (_, k) => this.partEnd(state, k + 1)),
    );
  }

  /** Values at some times; where eventFn throws at one of them, those before are freed. */
  valuesAt(problem: Problem<S>, state: StepState<S>, times: readonly number[]): Values<S>[] {
    return disposedOnThrow(times, (t) => this.at(problem, state, t));
  }

  /** End of the k-th part of a step. */
  partEnd({ t0, t1 }: StepState<S>, k: number): number {
    return k === this.samples ? t1 : t0 + ((t1 - t0) * k) / this.samples;
  }

  /** Values at one time of a step. */
  at(problem: Problem<S>, state: StepState<S>, t: number): Values<S> {
    const { stepper, system, space } = problem;
    return untaped(() => {
      const y = t === state.t1 ? state.y1! : stepper.interpolate(system, state, t);
      const slope = this.needsSlope() ? stepper.derivative(system, state, t) : null;
      const values = this.values(system.seen(t), y, slope);
      if (t !== state.t1) space.release(y);
      if (slope !== null) space.release(slope);
      this.checkSizes(values);
      return values;
    });
  }

  private checkSizes(values: Values<S>): void {
    const i = this.sizes.findIndex((size, n) => sizeOf(values[n]) !== size);
    if (i < 0) return;
    const received = sizeOf(values[i]);
    if (!this.plain) for (const value of values) (value as Tensor).dispose();
    throw new InvalidArgumentError(
      `eventFn of '${this.plan.events[i].name}' returned ${received} components, and ${this.sizes[i]} at the start; return ` +
        'as many every time.',
    );
  }

  /** All values, one point after another. */
  *read(points: readonly Values<S>[]): Reading<ArrayLike<number>> {
    const all = points.flat();
    if (!isTensor(all[0])) return all.flatMap((value) => Array.from(value as ArrayLike<number>));
    const tensors = all as Tensor[];
    return yield* readNorm(
      scopedRead(
        () => concat(tensors.map(flat)),
        (values) => values,
        tensors,
      ),
    );
  }

  /** The event function a component is of. */
  eventOf(component: number): { event: CheckedEvent; index: number; first: number; size: number } {
    let first = 0;
    for (let index = 0; ; index++) {
      const size = this.sizes[index];
      if (component < first + size) return { event: this.plan.events[index], index, first, size };
      first += size;
    }
  }

  /** The state at one time of a step, which belongs to the space. */
  stateAt({ stepper, system, space }: Problem<S>, state: StepState<S>, t: number): S {
    if (t === state.t0) return space.copy(state.y0);
    return t === state.t1 ? space.copy(state.y1!) : stepper.interpolate(system, state, t);
  }
}

const sizeOf = (value: Tensor | ArrayLike<number>): number => (isTensor(value) ? value.size : value.length);

/* What is made of a list; when that throws, the tensors made before are freed. */
function disposedOnThrow<T, V extends readonly unknown[]>(list: readonly T[], make: (item: T) => V): V[] {
  const made: V[] = [];
  try {
    for (const item of list) made.push(make(item));
    return made;
  } catch (error) {
    for (const value of made.flat()) if (isTensor(value)) value.dispose();
    throw error;
  }
}

const flat = (value: unknown): Tensor => reshape(value as Tensor, [(value as Tensor).size]);

/* A read of a tensor made of others, which are no longer needed then. */
function scopedRead(
  make: () => Tensor,
  finish: (values: ArrayLike<number>) => ArrayLike<number>,
  parts: readonly Tensor[],
): DeviceRead {
  const tensor = untaped(() => scoped(() => engine().keep(make())));
  for (const part of parts) part.dispose();
  return new DeviceRead(tensor, finish);
}
