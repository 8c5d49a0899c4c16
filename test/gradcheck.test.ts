import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  ExplicitRungeKutta,
  gradcheck,
  GradientMismatchError,
  InvalidArgumentError,
  MissingGradientError,
  NonFiniteStateError,
  OdeError,
  type GradcheckReport,
  type PlainVjp,
  type Stepper,
  type TensorFunc,
} from 'tfjs-diffeq';
import { dopri5 } from 'tfjs-diffeq/solvers';
import { engineState } from './engine_probe.js';
import { generalMethods } from './methods.js';

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- wrong input on purpose */
type Anything = any;

const quiet = { print: false, throwOnFailure: false } as const;
const everyMode = ['tape', 'checkpoint', 'backsolve', 'interpolating'];
const adaptive = ['adaptive_heun', 'fehlberg2', 'bosh3', 'dopri5', 'tsit5', 'dopri8'];

const failures = ({ rows }: GradcheckReport) =>
  rows.filter((row) => !row.passed).map((row) => `${row.mode} ${row.input}`);
const errorsOf = ({ rows }: GradcheckReport, mode: string) =>
  Object.fromEntries(rows.filter((row) => row.mode === mode).map((row) => [row.input, row.error]));

function thrownBy(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

/* x, with a gradient that is wrong by a factor, in the entries of a mask. */
function wrongGradient(x: tf.Tensor, factor: number | number[]): tf.Tensor {
  return tf.customGrad((value) => ({
    value: (value as tf.Tensor).clone(),
    gradFunc: (dy: tf.Tensor) => tf.mul(dy, factor),
  }))(x);
}

/* A variable that owns its values. */
function variableOf(values: tf.Tensor, name: string): tf.Variable {
  const made = tf.variable(values, true, name);
  values.dispose();
  return made;
}

/* Pseudo-random numbers of the tests. */
function generator(seed: number): (low?: number, high?: number) => number {
  let state = seed;
  return (low = 0, high = 1) => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return low + ((high - low) * state) / 2 ** 32;
  };
}

describe('gradcheck on tensors', () => {
  let rate: tf.Variable;
  let y0: tf.Tensor1D;
  let before: number;
  const forced: TensorFunc<tf.Tensor> = (t, y) =>
    tf.sub(tf.mul(tf.neg(rate), y), tf.mul(tf.sin(t), tf.reverse(tf.square(y))));

  beforeEach(() => {
    rate = variableOf(tf.tensor1d([0.5, 1.2]), 'rate');
    y0 = tf.tensor1d([1, 0.7]);
    before = tf.memory().numTensors;
  });
  afterEach(() => {
    expect(tf.memory().numTensors).to.equal(before);
    tf.disposeVariables();
    y0.dispose();
  });

  for (const method of generalMethods) {
    it(`${method}: a right gradient passes in every mode`, () => {
      // fehlberg2's error estimate is far too small (README): its tolerance is, too.
      const rtol = method === 'fehlberg2' ? 1e-6 : 1e-4;
      const steps = adaptive.includes(method) ? { rtol, atol: 1e-5 } : { stepSize: 0.04 };
      const report = gradcheck(forced, y0, [0, 0.4, 1], { method, ...steps, ...quiet });
      expect(failures(report), report.table).to.deep.equal([]);
      expect(report.passed).to.equal(true);
      expect(report.rows.map((row) => `${row.mode} ${row.input}`)).to.have.members(
        [...everyMode, ...(method === 'reversible_heun' ? ['reversible'] : [])].flatMap((mode) => [
          `${mode} y0`,
          `${mode} rate`,
          `${mode} t`,
        ]),
      );
      // Of the steps themselves: float32 leaves a few units of its last digits.
      for (const mode of ['tape', 'checkpoint'])
        for (const [input, error] of Object.entries(errorsOf(report, mode)))
          expect(error, `${mode} ${input}`).to.be.below(input === 't' ? 3e-3 : 3e-4);
    });
  }

  for (const mode of everyMode) {
    it(`${mode}: a wrong custom gradient is caught`, () => {
      const modes = [mode] as Anything;
      const wrong: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(wrongGradient(rate, 1.05), tf.neg(y));
      const report = gradcheck(wrong, y0, [0, 1], { modes, ...quiet });
      expect(failures(report)).to.deep.equal([`${mode} rate`]);
      const [row] = report.rows.filter((r) => r.input === 'rate');
      expect(row.error).to.be.closeTo(0.05, 2e-3);
      const stateWrong: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(rate, tf.neg(wrongGradient(y, 1.05)));
      expect(failures(gradcheck(stateWrong, y0, [0, 1], { modes, ...quiet }))).to.include(`${mode} y0`);
    });

    it(`${mode}: an error of 1 % in one entry of five is caught, and named`, () => {
      const modes = [mode] as Anything;
      const push = variableOf(tf.tensor1d([0.3, -0.4, 0.5, 0.6, -0.7]), 'push');
      const start = tf.tensor1d([1, 0.8, 0.6, 0.7, 0.9]);
      const func: TensorFunc<tf.Tensor> = (_t, y) =>
        tf.sub(tf.sin(wrongGradient(push, [1, 1, 1, 1.01, 1])), tf.mul(0.5, tf.square(y)));
      const report = gradcheck(func, start, [0, 0.5, 1], { modes, ...quiet });
      const [row] = report.rows.filter((r) => r.input === 'push');
      expect(row.passed, report.table).to.equal(false);
      expect(row.entry).to.equal('push[3]');
      expect(row.entries.map((entry) => entry.passed)).to.deep.equal([true, true, true, false, true]);
      push.dispose();
      start.dispose();
    });
  }

  it('throws a typed error with the report, says where and what to do, and prints the table', () => {
    const wrong: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(wrongGradient(rate, 1.5), tf.neg(y));
    const printed: string[] = [];
    const print = (table: string) => void printed.push(table);
    const error = thrownBy(() => gradcheck(wrong, y0, [0, 1], { print })) as GradientMismatchError;
    expect(error).to.be.instanceOf(GradientMismatchError).and.instanceOf(OdeError);
    expect(error.name).to.equal('GradientMismatchError');
    expect(error.report.passed).to.equal(false);
    expect(printed).to.deep.equal([error.report.table]);
    expect(error.message).to.match(/^4 of 12 gradients are not confirmed .* derivative to rate\[\d\]/);
    expect(error.message).to.include('custom gradients');
    const { log } = console;
    const lines: string[] = [];
    console.log = (line: string) => void lines.push(line);
    try {
      expect(gradcheck(forced, y0, [0, 1], { modes: ['tape'] }).passed).to.equal(true);
      gradcheck(forced, y0, [0, 1], { modes: ['tape'], print: false });
    } finally {
      console.log = log;
    }
    expect(lines).to.have.length(1);
  });

  it('a stiff problem: backsolve fails, the exact gradients pass', () => {
    const { warn } = console;
    console.warn = () => undefined;
    try {
      // A fast component that follows a slow one: backward it leaves it, as e^(60 t).
      const stiff: TensorFunc<tf.Tensor> = (_t, y) => {
        const [[fast, slow], [k, size]] = [tf.unstack(y), tf.unstack(rate)];
        const slope = tf.mul(tf.mul(k, fast), tf.add(1, tf.square(slow)));
        return tf.stack([tf.mul(-60, tf.sub(fast, tf.mul(size, tf.sin(slow)))), tf.neg(slope)]);
      };
      const report = gradcheck(stiff, y0, [0, 1, 2], quiet);
      expect(failures(report).filter((name) => name.startsWith('backsolve'))).not.to.be.empty;
      expect(failures(report).filter((name) => /^(tape|checkpoint)/.test(name))).to.deep.equal([]);
      expect(report.table.split('\n').at(-1)).to.match(
        /^can be trusted: tape, checkpoint.*; cannot be trusted: backsolve/,
      );
      const error = thrownBy(() => gradcheck(stiff, y0, [0, 1, 2], { print: false }));
      expect(error.message).to.match(/^3 of 12 gradients .*'backsolve' to y0: StepUnderflowError: /);
    } finally {
      console.warn = warn;
    }
  });

  it('trees, args, int tensors beside them, backward in time, outputs inside steps and a tensor t', () => {
    const args = {
      push: tf.tensor1d([0.2, -0.1]),
      deep: [{ k: tf.scalar(1.5) }],
      index: tf.scalar(0, 'int32'),
    };
    const start = { q: tf.tensor1d([1, 0]), p: [tf.tensor1d([0, 0.5])] };
    const func = (_t: tf.Scalar, { q, p }: typeof start, a: typeof args) => ({
      q: tf.add(p[0], a.push),
      p: [tf.neg(tf.mul(a.deep[0].k, tf.mul(rate, q)))],
    });
    const t = tf.tensor1d([1, 0.6, 0.55, -1]);
    const report = gradcheck(func, start, t, { args, rtol: 1e-5, atol: 1e-6, ...quiet });
    expect(failures(report), report.table).to.deep.equal([]);
    expect(report.rows.filter((row) => row.mode === 'tape').map((row) => row.input)).to.deep.equal([
      'y0.q',
      'y0.p[0]',
      'args.push',
      'args.deep[0].k',
      'rate',
      't',
    ]);
    tf.dispose([args.push, args.deep[0].k, args.index, start.q, start.p[0], t]);
  });

  it('a large tensor is checked along random directions, a loss of the caller likewise', () => {
    const w = variableOf(tf.randomNormal([4, 8], 0, 0.5, 'float32', 3), 'w');
    const v = variableOf(tf.randomNormal([8, 4], 0, 0.5, 'float32', 4), 'v');
    const start = tf.tensor2d([[1, 0.5, -0.5, 0.2]]);
    const net = (wrong: number) => (_t: tf.Scalar, y: tf.Tensor2D) =>
      tf.matMul(tf.tanh(tf.matMul(y, wrongGradient(w, wrong) as tf.Tensor2D)), v as unknown as tf.Tensor2D);
    const loss = (ys: tf.Tensor) => tf.mean(tf.square(tf.sub(ys, 0.3))) as tf.Scalar;
    const options = { loss, samples: 6, rtol: 1e-5, atol: 1e-6, ...quiet };
    const report = gradcheck(net(1), start, [0, 0.5, 1], options);
    expect(failures(report), report.table).to.deep.equal([]);
    const [row] = report.rows.filter(({ input }) => input === 'w');
    expect(row.entries).to.have.length(6);
    expect(row.entry).to.match(/^w, direction [1-6]$/);
    expect(failures(gradcheck(net(1.03), start, [0, 0.5, 1], options))).to.include('tape w');
    tf.dispose([w, v, start]);
  });

  it('jumps, stops and a grid of the caller are part of the frozen steps', () => {
    const switched: TensorFunc<tf.Tensor> = (t, y) =>
      tf.mul(tf.sub(tf.mul(tf.cast(tf.greater(t, 0.5), 'float32'), 2), rate), y);
    const options = { jumpT: [0.5], stepT: [0.2], modes: ['tape', 'checkpoint'], ...quiet } as const;
    const report = gradcheck(switched, y0, [0, 0.5, 1], options);
    expect(failures(report), report.table).to.deep.equal([]);
    // At a jump of func the derivative to an output time has two values.
    expect(report.rows.find((row) => row.input === 't')!.entries.map((entry) => entry.entry)).to.deep.equal([
      't[0]',
      't[2]',
    ]);
    const gridConstructor = () => [0, 0.1, 0.4, 0.5, 0.8, 1];
    for (const perturb of [false, true]) {
      const fixed = { method: 'rk4', gridConstructor, perturb, interp: 'linear', ...quiet } as const;
      expect(failures(gradcheck(forced, y0, [0, 0.45, 1], { ...fixed, modes: ['tape'] }))).to.deep.equal([]);
    }
  });

  it('a mode that throws is a row with its message', () => {
    const late = variableOf(tf.scalar(1), 'late');
    const sometimes: TensorFunc<tf.Tensor> = (t, y) =>
      tf.mul(t.dataSync()[0] > 0.4 ? tf.mul(rate, late) : rate, y);
    const report = gradcheck(sometimes, y0, [0, 1], { method: 'rk4', stepSize: 0.1, ...quiet });
    const rows = report.rows.filter((row) => row.mode === 'checkpoint');
    expect(rows.every((row) => /^MissingGradientError: .*'late'/.test(row.failure!))).to.equal(true);
    expect(report.rows.filter((row) => row.mode === 'tape').every((row) => row.passed)).to.equal(true);
    expect(report.table).to.match(/^checkpoint: MissingGradientError/m);
    late.dispose();
  });

  it('a tensor of args that func closes over cannot be moved, which is said', () => {
    const k = tf.scalar(0.5);
    const closes: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(k, y);
    const report = gradcheck(closes, y0, [0, 1], { args: { k }, ...quiet });
    expect(failures(report)).to.deep.equal(everyMode.map((mode) => `${mode} args.k`));
    expect(report.table).to.include('args.k: func closes over the tensor args.k itself');
    k.dispose();
  });

  it('a func whose gradient throws fails in every mode, with the message', () => {
    const refuses = tf.customGrad((x) => ({
      value: tf.neg(x as tf.Tensor),
      gradFunc: () => {
        throw new RangeError('no gradient here');
      },
    }));
    const product: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(rate, refuses(y));
    const report = gradcheck(product, y0, [0, 1], quiet);
    expect(report.passed).to.equal(false);
    expect(report.rows.map((row) => row.failure)).to.deep.equal(
      new Array(report.rows.length).fill('RangeError: no gradient here'),
    );
  });

  it('puts variables back bit by bit, also when func throws, and leaks nothing', () => {
    // A NaN with a payload would not survive arithmetic; a denormal and -0 are enough here.
    const odd = variableOf(tf.tensor1d([-0, 1e-42]), 'odd');
    const bits = () => Array.from(new Uint32Array(odd.dataSync().slice().buffer));
    const original = bits();
    const added: TensorFunc<tf.Tensor> = (_t, y) => tf.sub(tf.mul(odd, y), y);
    gradcheck(added, y0, [0, 1], quiet);
    expect(bits()).to.deep.equal(original);
    let calls = 0;
    const state = engineState();
    for (const last of [3, 40, 200, 500, 900]) {
      calls = 0;
      const failing: TensorFunc<tf.Tensor> = (t, y) => {
        tf.mul(2, 3);
        if (++calls > last) throw new RangeError('thrown by the caller');
        return added(t, y, undefined);
      };
      const call = () => gradcheck(failing, y0, [0, 1], { print: false });
      expect(thrownBy(call)).to.be.instanceOf(last < 100 ? RangeError : GradientMismatchError);
      expect(bits()).to.deep.equal(original);
      expect(engineState()).to.deep.equal(state);
    }
    odd.dispose();
  });

  it('an input whose moves leave the domain of func is a row that failed', () => {
    const start = tf.tensor1d([0, 1]);
    const root: TensorFunc<tf.Tensor> = (_t, y) => tf.sqrt(y);
    const options = { method: 'euler', stepSize: 0.25, modes: ['tape'], ...quiet } as const;
    const report = gradcheck(root, start, [0, 1], options);
    expect(report.rows[0].passed).to.equal(false);
    expect(report.rows[0].failure).to.match(/^no difference: /);
    start.dispose();
  });

  it('what cannot be solved at all throws as odeint does', () => {
    const bad: TensorFunc<tf.Tensor> = (_t, y) => tf.div(y, 0);
    expect(() => gradcheck(bad, y0, [0, 1], quiet)).to.throw(NonFiniteStateError);
    const signal = AbortSignal.abort();
    expect(thrownBy(() => gradcheck(forced, y0, [0, 1], { ...quiet, signal })).name).to.equal('AbortError');
  });

  it('calls callbacks in the first solve only', () => {
    let accepted = 0;
    let steps = 0;
    const onAccept = () => void accepted++;
    gradcheck(forced, y0, [0, 1], { ...quiet, onAccept, onStep: () => void steps++ });
    expect(accepted).to.be.within(1, 20);
    expect(steps).to.be.within(1, 20);
  });

  it('refuses to run inside a gradient, and options it does not know', () => {
    const inside = () =>
      tf.grad((x) => {
        gradcheck(forced, x, [0, 1], quiet);
        return tf.sum(x);
      })(y0);
    expect(thrownBy(() => tf.tidy(inside)))
      .to.be.instanceOf(MissingGradientError)
      .with.property('message')
      .that.includes('outside');
    const call = (options: object) => () => gradcheck(forced, y0, [0, 1], { ...quiet, ...options });
    for (const [options, message] of [
      [{ sample: 3 }, /unknown option sample; did you mean samples\?/],
      [{ throw_on_failure: false }, /did you mean throwOnFailure\?/],
      [{ adjoint: 'checkpoint' }, /modes: \['checkpoint'\]/],
      [{ modes: ['checkpiont'] }, /did you mean 'checkpoint'\?/],
      [{ modes: [] }, /expected an array of tape, /],
      [{ samples: 0 }, /positive integer/],
      [{ seed: 0.5 }, /integer/],
      [{ gradRtol: -1 }, /not negative/],
      [{ print: 'no' }, /print is/],
      [{ throwOnFailure: 1 }, /throwOnFailure is/],
      [{ loss: 3 }, /loss is/],
      [{ loss: (ys: tf.Tensor) => ys }, /loss returned a float32 tensor of shape \[2, 2\]/],
      [{ vjp: () => 1 }, /unknown option vjp/],
    ] as [object, RegExp][]) {
      expect(call(options), JSON.stringify(options)).to.throw(InvalidArgumentError, message);
    }
    expect(() => gradcheck(forced, y0, [0, 1], null as Anything)).to.throw(
      InvalidArgumentError,
      /options are null/,
    );
  });

  it('passes the options of the adjoint on, and says what a backward solve needs', () => {
    const loose = { adjointRtol: 0.3, adjointAtol: 0.3, gradRtol: 1e-4, modes: ['backsolve'] } as const;
    expect(() => gradcheck(forced, y0, [0, 1], { ...loose, print: false })).to.throw(
      GradientMismatchError,
      /use adjoint: 'checkpoint'/,
    );
    const frozen = variableOf(tf.scalar(2), 'frozen');
    const both: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(tf.mul(frozen, rate), tf.neg(y));
    const report = gradcheck(both, y0, [0, 1], { params: [rate, frozen], checkpoints: 2, ...quiet });
    expect(failures(report), report.table).to.deep.equal([]);
    frozen.dispose();
  });

  it('a stepper of another kind has the modes that do not run Runge-Kutta steps again', () => {
    const rk = new ExplicitRungeKutta(dopri5);
    const own = { name: 'own', order: rk.order, embeddedOrder: rk.embeddedOrder } as Record<string, unknown>;
    for (const verb of 'init slope step errorNorm interpolate derivative accept reject detach'.split(' '))
      own[verb] = (rk as Anything)[verb].bind(rk);
    const method = own as unknown as Stepper;
    const report = gradcheck(forced, y0, [0, 1], { method, ...quiet });
    expect(failures(report), report.table).to.deep.equal([]);
    expect(report.table.split('\n').at(-1)).to.equal('can be trusted: tape, backsolve.');
    const named = gradcheck(forced, y0, [0, 1], { method, modes: ['checkpoint'], ...quiet });
    expect(named.rows[0].failure).to.include("'own' is none of those");
  });

  it('30 random smooth problems: no false alarm', () => {
    const random = generator(7);
    const normal = (shape: number[], scale: number) =>
      tf.tensor(
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random(-scale, scale)),
        shape,
      );
    const alarms: string[] = [];
    for (let n = 0; n < 30; n++) {
      const size = 1 + Math.floor(random(0, 3));
      const unit = 10 ** Math.round(random(-2, 2));
      const w = variableOf(normal([size, size], 1.5), `w${n}`);
      const b = variableOf(normal([size], 1), `b${n}`);
      const start = tf.tidy(() => tf.mul(normal([size], 2), unit));
      const k = tf.scalar(random(0.1, 1));
      const func = (t: tf.Scalar, y: tf.Tensor, args: { k: tf.Tensor }) => {
        const scaled = tf.reshape(tf.div(y, unit), [1, size]);
        const mixed = tf.add(tf.reshape(tf.matMul(scaled, w as unknown as tf.Tensor2D), [size]), b);
        const pushed = tf.add(tf.tanh(mixed), tf.cos(tf.mul(t, 3)));
        return tf.sub(tf.mul(pushed, unit), tf.mul(args.k, y));
      };
      const method = generalMethods[Math.floor(random(0, generalMethods.length))];
      const steps = adaptive.includes(method)
        ? {
            rtol: method === 'fehlberg2' ? 1e-6 : 10 ** random(-5, -4),
            atol: 1e-6 * unit,
            adjointAtol: 1e-6,
          }
        : { stepSize: 0.03 };
      // Of low order a gradient of the continuous problem really is wrong by more than a few per cent at times.
      const modes = ['euler', 'reversible_heun'].includes(method)
        ? (['tape', 'checkpoint'] as const)
        : undefined;
      const t0 = random(-2, 2);
      const times = [t0, t0 + random(0.1, 0.5), t0 + random(0.6, 1.2)];
      const report = gradcheck(func, start, times, { method, ...steps, modes, args: { k }, ...quiet });
      if (!report.passed) alarms.push(`problem ${n}, ${method}\n${report.table}`);
      tf.dispose([w, b, start, k]);
    }
    expect(alarms.length, alarms.join('\n')).to.equal(0);
  });

  it('prints a table that can be read', () => {
    const decay: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(tf.neg(wrongGradient(rate, 2)), y);
    const options = { method: 'rk4', stepSize: 0.25, modes: ['tape', 'checkpoint'], ...quiet } as const;
    const { table } = gradcheck(decay, y0, [0, 0.5, 1], options);
    // Digits depend on the backend; the layout does not.
    const layout = table
      .replace(/-?\d+\.\d+(e[-+]\d+)?/g, '#')
      .replace(/\b(y0|rate|t)\[\d\]/g, '$1[n]')
      .replace(/ +/g, ' ');
    expect(layout).to.equal(
      [
        'gradcheck: rk4, 4 steps, float32, loss: a random linear functional of all outputs',
        'mode input moved worst at gradient difference error noise allowed',
        'tape y0 2 entries y0[n] # # # # # ok',
        'tape rate 2 entries rate[n] # # # # # FAILED',
        'tape t 3 entries t[n] # # # # # ok',
        'checkpoint y0 2 entries y0[n] # # # # # ok',
        'checkpoint rate 2 entries rate[n] # # # # # FAILED',
        'checkpoint t 3 entries t[n] # # # # # ok',
        'cannot be trusted: tape, checkpoint.',
      ].join('\n'),
    );
  });
});

describe('gradcheck on plain numbers', () => {
  const field = (_t: number, [x, y]: Float64Array, [a, b, c, d]: Float64Array) => [
    (a - b * y) * x,
    (d * x - c) * y,
  ];
  type Vjp = (
    t: number,
    y: Float64Array,
    args: Float64Array,
    lambda: Float64Array,
  ) => { y: number[]; args: number[] };
  const right: Vjp = (_t, [x, y], [a, b, c, d], [l, m]) => ({
    y: [(a - b * y) * l + d * y * m, -b * x * l + (d * x - c) * m],
    args: [x * l, -x * y * l, -y * m, x * y * m],
  });
  const rates = Float64Array.of(1.3, 0.9, 0.8, 0.5);

  for (const method of generalMethods) {
    it(`${method}: a right vjp passes to 1e-6, differences of func do too`, () => {
      const steps = adaptive.includes(method) ? { rtol: 1e-5, atol: 1e-7 } : { stepSize: 0.1 };
      for (const vjp of [right, undefined]) {
        // With steps of that size the continuous adjoints of low order are not that good.
        const modes = adaptive.includes(method) ? undefined : (['checkpoint'] as const);
        const options = { method, ...steps, args: rates, vjp, modes, ...quiet };
        const report = gradcheck(field, [2, 1], [0, 0.35, 1], options);
        expect(failures(report), report.table).to.deep.equal([]);
        const errors = errorsOf(report, 'checkpoint');
        expect(Object.keys(errors)).to.deep.equal(['y0', 'args', 't']);
        for (const [input, error] of Object.entries(errors)) expect(error, input).to.be.below(1e-7);
      }
    });
  }

  it('a wrong entry of a vjp by hand is caught, and named', () => {
    const wrong: Vjp = (t, y, args, lambda) => {
      const found = right(t, y, args, lambda);
      found.args[2] *= 1 + 1e-4;
      return found;
    };
    const error = thrownBy(() =>
      gradcheck(field, [2, 1], [0, 1], { args: rates, vjp: wrong, print: false }),
    ) as GradientMismatchError;
    expect(error.message).to.include('the derivative to args[2]').and.include('what vjp returns');
    const [row] = error.report.rows.filter(({ passed }) => !passed);
    expect(row.entry).to.equal('args[2]');
    expect(row.error).to.be.closeTo(1e-4, 2e-6);
    expect(row.entries.map(({ passed }) => passed)).to.deep.equal([true, true, false, true]);
    const signs: Vjp = (t, y, args, lambda) => {
      const found = right(t, y, args, lambda);
      return { ...found, y: [found.y[0], -found.y[1]] };
    };
    const options = { args: rates, vjp: signs, ...quiet };
    expect(failures(gradcheck(field, [2, 1], [0, 1], options))).to.include('checkpoint y0');
    expect(Array.from(rates)).to.deep.equal([1.3, 0.9, 0.8, 0.5]);
  });

  it('takes inPlace, a loss of numbers, and many components', () => {
    const size = 40;
    const heat = (_t: number, y: Float64Array, dy: Float64Array) => {
      for (let i = 0; i < size; i++)
        dy[i] = (y[(i + 1) % size] - 2 * y[i] + y[(i + size - 1) % size]) * (1 + 0.1 * y[i]);
    };
    const start = Array.from({ length: size }, (_, i) => Math.sin(i));
    const loss = (ys: Float64Array[]) => ys[1].reduce((sum, y) => sum + y * y, 0) + ys[2][0];
    const report = gradcheck(heat, start, [0, 0.5, 1], { inPlace: true, loss, samples: 5, ...quiet });
    expect(failures(report), report.table).to.deep.equal([]);
    expect(report.rows[0].entries).to.have.length(5);
    expect(() => gradcheck(heat, start, [0, 1], { inPlace: true, loss: () => NaN, ...quiet })).to.throw(
      InvalidArgumentError,
      /loss returned number NaN/,
    );
  });

  it('30 random smooth problems: no false alarm', () => {
    const random = generator(11);
    const alarms: string[] = [];
    for (let n = 0; n < 30; n++) {
      const size = 1 + Math.floor(random(0, 5));
      const args = Float64Array.from({ length: size * size }, () => random(-2, 2));
      const unit = 10 ** Math.round(random(-6, 6));
      const func = (t: number, y: Float64Array, w: Float64Array) =>
        Array.from(y, (x, i) => {
          let sum = Math.sin(3 * t);
          for (let j = 0; j < size; j++) sum += (w[i * size + j] * y[j]) / unit;
          return unit * Math.tanh(sum) - 0.3 * x;
        });
      const vjp: PlainVjp<Float64Array> = (t, y, w, lambda) => {
        const toState = lambda.map((l) => -0.3 * l);
        const toArgs = new Float64Array(w.length);
        for (let i = 0; i < size; i++) {
          let sum = Math.sin(3 * t);
          for (let j = 0; j < size; j++) sum += (w[i * size + j] * y[j]) / unit;
          for (let j = 0; j < size; j++) {
            toState[j] += (lambda[i] * w[i * size + j]) / Math.cosh(sum) ** 2;
            toArgs[i * size + j] = (lambda[i] * y[j]) / Math.cosh(sum) ** 2;
          }
        }
        return { y: toState, args: toArgs };
      };
      const start = Array.from({ length: size }, () => unit * random(-2, 2));
      const method = generalMethods[Math.floor(random(0, generalMethods.length))];
      const steps = adaptive.includes(method)
        ? { rtol: 10 ** random(-6, -3), atol: 1e-9 * unit }
        : { stepSize: 0.05 };
      const t0 = random(-5, 5);
      const times = [t0, t0 - random(0.1, 0.5), t0 - random(0.6, 2)];
      const modes = ['checkpoint'] as const;
      const report = gradcheck(func, start, times, { method, ...steps, args, vjp, modes, ...quiet });
      if (!report.passed) alarms.push(`problem ${n}, ${method}\n${report.table}`);
    }
    expect(alarms.length, alarms.join('\n')).to.equal(0);
  });

  it('refuses what is for tensors', () => {
    const call = (options: object) => () =>
      gradcheck(field, [2, 1], [0, 1], { args: rates, ...quiet, ...options });
    expect(call({ modes: ['tape'] })).to.throw(InvalidArgumentError, /checkpoint/);
    expect(call({ wibble: 1 })).to.throw(InvalidArgumentError, /unknown option wibble/);
  });
});
