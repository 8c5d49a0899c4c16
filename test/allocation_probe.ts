/**
 * Measures what steps on plain numbers allocate, in a process of its own: watching the constructors of arrays slows
 * everything down that runs afterwards. Prints JSON for `allocation.test.ts`.
 */
import { Session } from 'node:inspector';
import { solve, type InPlaceFunc, type PlainFunc, type PlainOptions } from 'tfjs-diffeq';
import { resolveMethod } from 'tfjs-diffeq/solvers';
import { generalMethods } from './methods.js';

/** Per step. */
export interface Allocations {
  /** Arrays made by constructors and by the methods that copy, for a state of 4 numbers. */
  arrays: number;
  /** Bytes on the heap of JavaScript, for a state of 2000 numbers. */
  bytes: number;
}

/** How often arrays are made while `run` runs: by constructors, and by the methods that copy. */
function countArrays(run: () => void): number {
  let count = 0;
  const restore: (() => void)[] = [];
  const replace = <T extends object>(
    owner: T,
    name: keyof T & string,
    make: (original: T[typeof name]) => unknown,
  ) => {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name)!;
    Object.defineProperty(owner, name, { ...descriptor, value: make(owner[name]) });
    restore.push(() => Object.defineProperty(owner, name, descriptor));
  };
  const counting = (original: unknown) =>
    new Proxy(original as () => object, {
      apply: (target, self, args) => (count++, Reflect.apply(target, self, args)),
      construct: (target, args, newTarget) => (count++, Reflect.construct(target, args, newTarget) as object),
    });
  try {
    replace(globalThis as unknown as { Float64Array: unknown }, 'Float64Array', counting);
    replace(Array, 'from', counting);
    for (const name of ['map', 'slice', 'concat', 'filter', 'flatMap'] as const) {
      replace(Array.prototype, name, counting);
    }
    replace(Object.getPrototypeOf(Float64Array.prototype) as { slice: unknown }, 'slice', counting);
    run();
  } finally {
    restore.reverse().forEach((undo) => undo());
  }
  return count;
}

/** Bytes that `run` allocates, also those collected meanwhile, as sampled by V8. */
function bytesAllocated(run: () => void): number {
  const session = new Session();
  session.connect();
  const post = (method: string, parameters = {}): unknown => {
    let result: unknown;
    session.post(method, parameters, (error, value) => {
      if (error) throw error;
      result = value;
    });
    return result;
  };
  interface Node {
    selfSize: number;
    children: Node[];
  }
  const size = (node: Node): number => node.children.reduce((sum, child) => sum + size(child), node.selfSize);
  post('HeapProfiler.startSampling', {
    samplingInterval: 4096,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  try {
    run();
  } finally {
    const { profile } = post('HeapProfiler.stopSampling') as { profile: { head: Node } };
    session.disconnect();
    // eslint-disable-next-line no-unsafe-finally -- run() throwing is a failure of the test anyway
    return size(profile.head);
  }
}

/* A ring of weakly coupled oscillators that never comes to rest: 2 n numbers. */
function ring(n: number) {
  const buffer = new Float64Array(2 * n);
  const write = (y: Float64Array, dy: Float64Array) => {
    for (let i = 0; i < n; i++) {
      dy[i] = y[n + i];
      dy[n + i] = 0.1 * y[(i + 1) % n] - y[i] * (1 + 0.1 * y[i] * y[i]);
    }
  };
  const returning: PlainFunc = (_t, y) => {
    write(y, buffer);
    return buffer;
  };
  const writing: InPlaceFunc = (_t, y, dy) => write(y, dy);
  const y0 = Float64Array.from({ length: 2 * n }, (_, i) => Math.cos(i));
  return { returning, writing, y0 };
}

/** Runs a given number of steps. */
function run(func: unknown, y0: Float64Array, steps: number, options: object): void {
  const bounded = { ...options, maxNumSteps: steps, throwOnFailure: false } as PlainOptions;
  const { stats } = solve(func as PlainFunc, y0, [0, 1e9], bounded);
  if (stats.steps !== steps) throw new Error(`${stats.steps} steps, expected ${steps}`);
}

/** What is measured: a vector field for a ring of oscillators, and options. */
type Variant = [name: string, func: (kind: ReturnType<typeof ring>) => unknown, options: object];

const fixedOnly = generalMethods.filter((name) => resolveMethod(name).embeddedOrder === null);
const variants: Variant[] = generalMethods.flatMap((method): Variant[] => {
  const options = fixedOnly.includes(method) ? { method, stepSize: 0.01 } : { method, rtol: 1e-4 };
  return [
    [`${method}, dy returned`, ({ returning }) => returning, options],
    [`${method}, dy written in place`, ({ writing }) => writing, { ...options, inPlace: true }],
  ];
});
variants.push(
  ['dopri5 with fixed steps', ({ returning }) => returning, { stepSize: 0.01 }],
  ['a PID controller, the maximum norm', ({ returning }) => returning, { controller: 'pid', norm: 'max' }],
);
/* Each call of func makes one array, as no step may. */
const wasteful: Variant[] = [
  [
    'a Float64Array in every call',
    ({ returning }) =>
      (t: number, y: Float64Array) =>
        returning(t, new Float64Array(y), 0),
    {},
  ],
  [
    'an array in every call',
    ({ returning }) =>
      (t: number, y: Float64Array) =>
        Array.from(returning(t, y, 0)),
    {},
  ],
];

const results: Record<string, Allocations> = {};
// The bytes first, before anything is patched.
for (const [name, func, options] of [...variants, ...wasteful]) {
  const big = ring(1000);
  run(func(big), big.y0, 200, options);
  results[name] = { arrays: NaN, bytes: bytesAllocated(() => run(func(big), big.y0, 600, options)) / 600 };
}
for (const [name, func, options] of [...variants, ...wasteful]) {
  const small = ring(2);
  const count = (steps: number) => countArrays(() => run(func(small), small.y0, steps, options));
  results[name].arrays = (count(900) - count(300)) / 600;
}
process.stdout.write(JSON.stringify(results));
