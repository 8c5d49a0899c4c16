/** What goes wrong around gradients says so, and what is not read is refused. */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import {
  gradcheck,
  GradientMismatchError,
  InvalidArgumentError,
  MaxStepsError,
  odeint,
  odeintAdjoint,
  odeintVjp,
  odeintVjpAsync,
  solve,
  type AdjointOptions,
  type PlainVjp,
  type TensorFunc,
} from 'tfjs-diffeq';
import { neuralODE } from 'tfjs-diffeq/layers';

const adjoints = ['checkpoint', 'backsolve', 'interpolating', 'reversible'] as const;
const methodOf = (adjoint: string) => (adjoint === 'reversible' ? 'reversible_heun' : 'dopri5');
const decay = (_t: number, [y]: Float64Array, [k]: Float64Array) => [-k * y];
const decayVjp: PlainVjp<Float64Array> = (_t, [y], [k], [l]) => ({ y: [-k * l], args: [-y * l] });
const last = [Float64Array.of(0), Float64Array.of(1)];

/* The warnings of a computation. */
async function warningsOf(compute: () => unknown): Promise<string[]> {
  const { warn } = console;
  const said: string[] = [];
  console.warn = (message: string) => void said.push(message);
  try {
    await compute();
  } finally {
    console.warn = warn;
  }
  return said;
}

describe('odeintVjp: the time between a solve and its gradient', () => {
  for (const adjoint of adjoints) {
    const options = { adjoint, method: methodOf(adjoint) } as const;

    it(`${adjoint}: args of plain numbers are those of the solve, and stay as the caller left them`, () => {
      for (const vjp of [decayVjp, undefined]) {
        const args = Float64Array.of(0.5);
        const solved = odeintVjp(decay, [1], [0, 1], { ...options, args, vjp });
        const expected = solved.vjp(last);
        args[0] = 7;
        expect(solved.vjp(last)).to.deep.equal(expected);
        expect(args[0]).to.equal(7);
      }
    });

    it(`${adjoint}: of tensors, refuses variables and args that changed, and what was disposed`, () => {
      const rate = tf.variable(tf.scalar(0.5), true, `rate of ${adjoint}`);
      const func = (_t: tf.Scalar, y: tf.Tensor, { f }: { f: tf.Tensor[] }) => tf.mul(tf.mul(rate, f[0]), y);
      const args = { f: [tf.scalar(1)] };
      const gys = tf.ones([2]);
      const start = tf.scalar(1);
      const solveIt = () => odeintVjp(func, start, [0, 1], { ...options, args });
      const first = solveIt();
      rate.assign(tf.scalar(2));
      expect(() => first.vjp(gys)).to.throw(
        InvalidArgumentError,
        `'rate of ${adjoint}' was assigned another value`,
      );
      const second = solveIt();
      second.dispose();
      expect(() => second.vjp(gys)).to.throw(InvalidArgumentError, 'before dispose()');
      const third = solveIt();
      args.f[0].dispose();
      expect(() => third.vjp(gys)).to.throw(InvalidArgumentError, 'args.f[0] was disposed');
      expect(solveIt).to.throw(InvalidArgumentError, 'args.f[0] is a disposed tensor');
      expect(() => odeintAdjoint(func, start, [0, 1], { args })).to.throw(InvalidArgumentError, 'args.f[0]');
      third.dispose();
      first.dispose();
      tf.dispose([rate, gys, start, first.ys, second.ys, third.ys]);
    });

    it(`${adjoint}: plain numbers await it`, async () => {
      const args = Float64Array.of(0.5);
      const { vjp } = await odeintVjpAsync(decay, [1], [0, 1], { ...options, args, vjp: decayVjp });
      expect(vjp(last).args![0]).to.be.closeTo(-Math.exp(-0.5), 1e-4);
    });
  }

  it('the asynchronous one still refuses adjoints of tensors that read the device', async () => {
    const func: TensorFunc<tf.Tensor> = (_t, y) => y;
    const refused = await odeintVjpAsync(func, tf.scalar(1), [0, 1], { adjoint: 'backsolve' }).catch(
      (e) => e as Error,
    );
    expect(refused)
      .to.be.instanceOf(InvalidArgumentError)
      .with.property('message')
      .that.includes('on tensors');
  });
});

describe('options of a backward solve', () => {
  const tuning = {
    adjointMethod: 'rk4',
    adjointRtol: 1e-3,
    adjointAtol: 1e-3,
    adjointNorm: 'seminorm',
    adjointOptions: { maxStep: 1 },
  } as const;
  const func: TensorFunc<tf.Tensor> = (_t, y) => tf.neg(y);
  const entryPoints: Record<string, (options: AdjointOptions & { method?: string }) => unknown> = {
    odeintAdjoint: (options) => odeintAdjoint(func, tf.scalar(1), [0, 1], options),
    'odeintVjp on tensors': (options) => odeintVjp(func, tf.scalar(1), [0, 1], options),
    'odeintVjp on plain numbers': (options) => odeintVjp((_t, [y]) => [-y], [1], [0, 1], options as object),
    neuralODE: (options) => neuralODE({ layer: tf.layers.dense({ units: 1 }), ...(options as object) }),
  };
  for (const [title, call] of Object.entries(entryPoints)) {
    it(`${title} refuses them where nothing is solved backward`, () => {
      for (const [name, value] of Object.entries(tuning)) {
        for (const adjoint of ['checkpoint', 'reversible'] as const) {
          const options = { adjoint, method: methodOf(adjoint), [name]: value };
          expect(() => tf.tidy(() => void call(options)), `${name}, ${adjoint}`).to.throw(
            InvalidArgumentError,
            `${name} tunes a backward solve, and adjoint '${adjoint}' has none`,
          );
        }
      }
    });

    it(`${title} refuses adjointMethod 'leapfrog', and adjointOptions that nobody reads`, () => {
      const refuses = (options: object, message: string) =>
        expect(() => tf.tidy(() => void call({ adjoint: 'backsolve', ...options })), message).to.throw(
          InvalidArgumentError,
          message,
        );
      refuses({ adjointMethod: 'leapfrog' }, "adjointMethod is 'leapfrog', which needs a separable system");
      for (const name of ['args', 'inPlace', 'quadrature', 'params', 'checkpoints']) {
        refuses({ adjointOptions: { [name]: 1 } }, `adjointOptions.${name} is not read`);
      }
      refuses({ adjointRtol: -1 }, 'adjointRtol is number -1; expected a number that is not negative');
    });
  }

  it('gradcheck gives them to the modes that read them', () => {
    const report = gradcheck(decay, [1], [0, 1], {
      ...{ args: Float64Array.of(0.5), vjp: decayVjp, print: false },
      ...{ adjointRtol: 1e-9, adjointAtol: 1e-11, checkpoints: 2 },
    });
    expect(report.rows.map(({ mode }) => mode)).to.include.members([
      'checkpoint',
      'backsolve',
      'interpolating',
    ]);
    const onTensors = {
      print: false,
      adjointRtol: 1e-5,
      adjointNorm: 'seminorm',
      throwOnFailure: false,
    } as const;
    expect(gradcheck(func, tf.scalar(1), [0, 1], onTensors).passed).to.equal(true);
  });

  it('asks gridConstructor only for the solves there are', () => {
    for (const [adjoint, calls] of [
      ['checkpoint', 1],
      ['backsolve', 2],
    ] as const) {
      let count = 0;
      const gridConstructor = () => (count++, [0, 0.5, 1]);
      odeintVjp(decay, [1], [0, 1], { method: 'rk4', gridConstructor, adjoint, args: Float64Array.of(1) });
      expect(count, adjoint).to.equal(calls);
    }
  });

  it('suggests quadrature for what looks like it, and lists what fixed steps take', () => {
    for (const name of ['quadratures', 'Quadrature', 'quadratur']) {
      const options = { [name]: () => 1 };
      expect(() => odeintAdjoint(func, tf.scalar(1), [0, 1], options), name).to.throw(
        'did you mean quadrature?',
      );
      for (const y0 of [tf.scalar(1), [1]]) {
        expect(() => odeintVjp(func as never, y0 as never, [0, 1], options as never), name).to.throw(
          'did you mean quadrature?',
        );
      }
    }
    expect(() => odeintAdjoint(func, tf.scalar(1), [0, 1], { wibble: 1 } as object)).to.throw(
      /known are: .*quadrature.*perturb, interp/,
    );
  });
});

describe('gradcheck does not pass what it cannot judge', () => {
  it('products with args that are no Float64Array', () => {
    for (const args of [[0.5], Float32Array.of(0.5)] as unknown as Float64Array[]) {
      const options = { args, vjp: decayVjp, print: false };
      const message = 'make args a Float64Array to differentiate it';
      expect(() => gradcheck(decay, [1], [0, 1], options)).to.throw(InvalidArgumentError, message);
      expect(() => odeintVjp(decay, [1], [0, 1], options as object).vjp(last)).to.throw(InvalidArgumentError);
      const { vjp } = odeintVjp(decay, [1], [0, 1], { args, vjp: decayVjp });
      expect(() => vjp(last)).to.throw(InvalidArgumentError, message);
    }
  });

  it('a loss that depends on nothing', () => {
    const options = { print: false, throwOnFailure: false } as const;
    const plain = gradcheck(decay, [1], [0, 1], { ...options, args: Float64Array.of(0.5), loss: () => 3 });
    const tensors = gradcheck((_t, y) => tf.neg(y), tf.scalar(1), [0, 1], {
      ...options,
      loss: () => tf.scalar(3),
    });
    for (const { passed, table } of [plain, tensors]) {
      expect(passed).to.equal(false);
      expect(table)
        .to.match(/no input changes the loss/)
        .and.not.match(/can be trusted: /);
    }
    const strict = { print: false, args: Float64Array.of(0.5), loss: () => 3 };
    expect(() => gradcheck(decay, [1], [0, 1], strict)).to.throw(
      GradientMismatchError,
      'no input changes the loss',
    );
  });

  it('a kink, and says what it may be; an unnamed variable is called one', () => {
    const kinked = () =>
      gradcheck((_t, [y]) => [Math.abs(y)], [0], [0, 1], { print: false, modes: ['checkpoint'] });
    expect(kinked).to.not.throw(/what vjp returns/);
    const rate = tf.variable(tf.scalar(0));
    const func: TensorFunc<tf.Tensor> = (_t, y) => tf.mul(tf.relu(rate), y);
    expect(() => gradcheck(func, tf.scalar(1), [0, 1], { print: false, modes: ['checkpoint'] })).to.throw(
      GradientMismatchError,
      new RegExp(`variable '${rate.name}'.*kink`),
    );
    rate.dispose();
  });

  it('a vjp of the wrong length says which', () => {
    const { vjp } = odeintVjp((_t, y) => y, [1, 2], [0, 1], { vjp: () => ({ y: [1] }) });
    expect(() => vjp([Float64Array.of(0, 0), Float64Array.of(1, 1)])).to.throw(
      /a y of 1 number; .*2 numbers/,
    );
  });
});

describe('failures name the way out', () => {
  it('in the backward solve: another adjoint', () => {
    const stiff = { adjoint: 'backsolve', rtol: 1e-6, adjointOptions: { maxNumSteps: 5 } } as const;
    const args = Float64Array.of(50);
    const { vjp } = odeintVjp(decay, [1], [0, 1], { ...stiff, args, vjp: decayVjp });
    expect(() => vjp(last)).to.throw(
      MaxStepsError,
      /backward solve.*'interpolating' \(for damped.*'checkpoint'/,
    );
  });

  it('reversible_heun: the method, not the problem', () => {
    const run = () =>
      odeint((_t, [y]) => [-100 * y], [1], [0, 10], { method: 'reversible_heun', maxNumSteps: 2000 });
    expect(run).to.throw(
      MaxStepsError,
      /'reversible_heun' are unstable where the solution is damped.*'dopri5'/,
    );
    expect(run).to.not.throw(/looks stiff/);
  });

  it('NaN in a solve with a quadrature may come from that', () => {
    const quadrature = (t: number) => (t < 0.5 ? 1 : NaN);
    for (const method of ['dopri5', 'rk4'] as const) {
      expect(() => solve((_t, y) => y, [1], [0, 0.4, 1], { method, quadrature })).to.throw(
        /check func and quadrature/i,
      );
    }
  });

  it('params that are weights of a layer', () => {
    const dense = tf.layers.dense({ units: 1, inputShape: [1] });
    dense.build([null, 1]);
    const func: TensorFunc<tf.Tensor> = (_t, y) => dense.apply(y) as tf.Tensor;
    const params = dense.trainableWeights as never;
    const run = () => odeintAdjoint(func, tf.ones([1, 1]), [0, 1], { params });
    expect(() => tf.tidy(() => tf.variableGrads(() => tf.sum(run()) as tf.Scalar))).to.throw(
      InvalidArgumentError,
      'the weights of layers are found',
    );
    tf.dispose(dense.getWeights());
  });

  it('tensors that args hide in a Map', () => {
    const k = tf.scalar(1);
    const args = new Map([['k', k]]);
    const func = (_t: tf.Scalar, y: tf.Tensor, map: typeof args) => tf.mul(map.get('k')!, y);
    const loss = (rate: tf.Tensor) =>
      tf.add(tf.sum(odeintAdjoint(func, tf.scalar(1), [0, 1], { args })), rate);
    expect(() => tf.tidy(() => tf.grad(loss)(k))).to.throw(
      'args (a tensor, or arrays and plain records of them)',
    );
    k.dispose();
  });
});

describe('params', () => {
  it('that func reads at later times only are no reason to warn; those it never reads are', async () => {
    const late = tf.variable(tf.scalar(1), true, 'late');
    const never = tf.variable(tf.scalar(1), true, 'never');
    const func: TensorFunc<tf.Tensor> = (t, y) => (t.dataSync()[0] > 0.5 ? tf.mul(late, y) : y);
    for (const adjoint of ['checkpoint', 'backsolve', 'interpolating'] as const) {
      const options = { adjoint, method: 'rk4', stepSize: 0.25, params: [late, never] } as const;
      const loss = () => tf.sum(odeintAdjoint(func, tf.scalar(1), [0, 1], options)) as tf.Scalar;
      const said = await warningsOf(() => tf.tidy(() => void tf.variableGrads(loss, [late, never])));
      expect(said.join(), adjoint).to.not.include("'late'");
      expect(said.length, adjoint).to.equal(adjoint === 'checkpoint' ? 1 : 0);
      if (said.length > 0) expect(said[0]).to.include("'never', which func never read: its gradient is 0");
    }
    tf.dispose([late, never]);
  });
});

describe('quadratures', () => {
  it('of a flow backward in time: densities integrate to 1 (Liouville)', () => {
    const w = tf.tensor2d([
      [0.3, -0.5],
      [0.7, 0.2],
    ]);
    const flow = (_t: tf.Scalar, z: tf.Tensor) => tf.tanh(tf.matMul(z as tf.Tensor2D, w));
    const column = (x: tf.Tensor, i: number) => tf.gather(x, i, 1);
    const trace = (t: tf.Scalar, z: tf.Tensor) =>
      tf.addN([0, 1].map((i) => column(tf.grad((x: tf.Tensor) => column(flow(t, x), i))(z), i)));
    const [n, width] = [81, 8];
    const axis = Array.from({ length: n }, (_, i) => -width + (2 * width * i) / (n - 1));
    const total = tf.tidy(() => {
      const x = tf.tensor2d(axis.flatMap((a) => axis.map((b) => [a, b])));
      const [zs, q] = odeintAdjoint(flow, x as tf.Tensor, [1, 0], { quadrature: trace });
      const normal = tf.sub(tf.mul(-0.5, tf.sum(tf.square(tf.gather(zs, 1)), 1)), Math.log(2 * Math.PI));
      const density = tf.exp(tf.add(normal, tf.gather(q, 1)));
      return tf.sum(density).dataSync()[0] * ((2 * width) / (n - 1)) ** 2;
    });
    expect(total).to.be.closeTo(1, 1e-3);
    w.dispose();
  });

  it('of plain numbers: with inPlace, and slopes in a Float32Array', () => {
    const options = { inPlace: true, quadrature: () => Float32Array.of(1, 2) } as const;
    const func = (_t: number, y: Float64Array, dy: Float64Array) => void (dy[0] = -y[0]);
    const [ys, qs] = odeint(func, [1], [0, 2], options);
    expect(ys[1][0]).to.be.closeTo(Math.exp(-2), 1e-6);
    expect(Array.from(qs[1], (q) => Math.round(1e9 * q) / 1e9)).to.deep.equal([2, 4]);
    expect(odeintVjp(func, [1], [0, 2], options).vjp([[...ys], [...qs]]).y0).to.have.length(1);
  });
});

describe('tensors that the loss makes', () => {
  it('may be read by func at later times only, and are disposed with the gradient', () => {
    const w = tf.variable(tf.scalar(0.7));
    const at = (t: tf.Tensor) => Math.min(3, Math.floor(4 * t.dataSync()[0]));
    // dy/dt = w c_i on the i-th quarter: dy(1)/dw = mean(c)
    const c = [1, 2, 3, 5];
    for (const adjoint of ['checkpoint', 'backsolve', 'interpolating'] as const) {
      const loss = () => {
        const pieces = c.map((x) => tf.scalar(x));
        const func = (t: tf.Tensor) => tf.mul(w, pieces[at(t)]);
        const options = { adjoint, method: 'midpoint', stepSize: 0.25 } as const;
        return tf.gather(odeintAdjoint(func, tf.scalar(0), [0, 1], options), 1) as tf.Scalar;
      };
      const before = tf.memory().numTensors;
      const { value, grads } = tf.variableGrads(loss);
      expect(tf.memory().numTensors - before).to.equal(2);
      expect(value.dataSync()[0]).to.be.closeTo(0.7 * 2.75, 1e-6);
      expect(grads[w.name].dataSync()[0], adjoint).to.be.closeTo(2.75, 1e-6);
      tf.dispose([value, grads]);
    }
    w.dispose();
  });

  it('outlive the gradient when the loss returns them, or somebody keeps them', () => {
    const w = tf.variable(tf.scalar(0.5));
    let kept!: tf.Tensor;
    const before = tf.memory().numTensors;
    const { value, grads } = tf.variableGrads(() => {
      const first = tf.square(w) as tf.Scalar;
      kept = tf.keep(tf.mul(w, 3));
      odeintAdjoint((_t, y) => tf.mul(w, y), tf.scalar(1), [0, 1]);
      return first;
    });
    expect(value.dataSync()[0]).to.equal(0.25);
    expect(kept.dataSync()[0]).to.equal(1.5);
    tf.dispose([value, grads, kept]);
    expect(tf.memory().numTensors).to.equal(before);
    w.dispose();
  });
});

describe('a loss around a solve', () => {
  it('that throws leaves nothing behind once a microtask has run, and what was kept can be disposed', async () => {
    const w = tf.variable(tf.scalar(0.5));
    let kept!: tf.Tensor;
    const solveIn = (then: (piece: tf.Tensor) => tf.Tensor) =>
      tf.tidy(() =>
        tf.grad((x: tf.Tensor) => {
          const pieces = Array.from({ length: 20 }, (_, i) => tf.mul(x, i));
          odeintAdjoint((_t, y) => tf.mul(w, y), x, [0, 1]);
          return then(pieces[3]);
        })(w),
      );
    const before = tf.memory().numTensors;
    const losses: ((piece: tf.Tensor) => tf.Tensor)[] = [
      (piece) => {
        kept = tf.keep(piece);
        throw new RangeError('of the loss');
      },
      () => odeintAdjoint(() => tf.fill([2], NaN), w as tf.Tensor, [0, 1]),
      // It does not depend on x: tfjs throws.
      () => tf.scalar(1),
    ];
    for (const loss of losses) {
      expect(() => solveIn(loss)).to.throw();
      await Promise.resolve();
      expect(tf.memory().numTensors - before).to.equal(1);
    }
    kept.dispose();
    expect(kept.isDisposed).to.equal(true);
    expect(tf.memory().numTensors).to.equal(before);
    w.dispose();
  });

  it("inside of the forward pass of somebody's custom gradient leaves the ops before it alone", () => {
    const squares = tf.customGrad((x, save) => {
      odeintAdjoint((_t, y) => tf.neg(y), x as tf.Tensor, [0, 1]);
      (save as (tensors: tf.Tensor[]) => void)([x as tf.Tensor]);
      return {
        value: tf.sum(tf.square(x as tf.Tensor)),
        gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) => tf.mul(dy, tf.mul(2, saved)),
      };
    });
    // Its gradient counts what it saved.
    const loss = (x: tf.Tensor) => squares(tf.concat([x, tf.ones([2])]));
    const [gradient] = tf.tidy(() => [
      tf
        .grad(loss)(tf.tensor1d([3, 4]))
        .dataSync(),
    ]);
    expect(Array.from(gradient)).to.deep.equal([6, 8]);
  });
});

describe('a second derivative whose func throws', () => {
  it('leaves nothing behind once a microtask has run', async () => {
    const [x, t] = [tf.scalar(0.7), tf.tensor1d([0, 0.5, 1])];
    for (const adjoint of ['checkpoint', 'backsolve'] as const) {
      let left = Infinity;
      const func: TensorFunc<tf.Tensor> = (_t, y) => {
        if (--left < 0) throw new RangeError('stop');
        return tf.mul(tf.sin(y), y);
      };
      const options = { method: 'rk4', stepSize: 0.5, adjoint } as const;
      const first = tf.grad((y: tf.Tensor) => tf.sum(odeintAdjoint(func, y, t, options)));
      const second = tf.grad((y: tf.Tensor) => tf.sum(first(y)));
      const leaks: number[] = [];
      for (let n = 0, threw = true; threw; n++) {
        left = n;
        const before = tf.memory().numTensors;
        try {
          tf.tidy(() => void second(x));
          threw = false;
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
        await Promise.resolve();
        leaks.push(tf.memory().numTensors - before);
      }
      // It threw in the solve, in that for the second gradient, and on the way back along the times.
      expect(leaks.length - 1, adjoint).to.be.above(30);
      expect(Math.max(...leaks), leaks.join()).to.equal(0);
    }
    tf.dispose([x, t]);
  });
});

describe('two NeuralODEs around one field', () => {
  const twice = async (share: boolean): Promise<string[]> => {
    const layer = tf.layers.dense({ units: 2, inputShape: [2], name: `shared_${share}` });
    const input = tf.input({ shape: [2] });
    const one = neuralODE({ layer, method: 'rk4' });
    const other = share ? neuralODE({ layer, method: 'rk4' }) : one;
    const model = tf.model({ inputs: input, outputs: other.apply(one.apply(input)) as tf.SymbolicTensor });
    model.compile({ optimizer: tf.train.sgd(1e-3), loss: 'meanSquaredError' });
    const x = tf.ones([1, 2]);
    const said = await warningsOf(() => model.fit(x, x, { epochs: 2, verbose: 0 }));
    tf.dispose([x, ...layer.getWeights()]);
    return said;
  };

  it('in one model warn that it is trained twice; one applied twice does not', async () => {
    expect(await twice(false)).to.deep.equal([]);
    const said = await twice(true);
    expect(said).to.have.length(1);
    expect(said[0]).to.include('apply one NeuralODE twice');
  });

  it('in two models do not: one trains, the other predicts at other times', async () => {
    const layer = tf.layers.dense({ units: 2, inputShape: [2] });
    const trained = tf.sequential({ layers: [neuralODE({ layer, inputShape: [2], method: 'rk4' })] });
    const path = tf.sequential({
      layers: [neuralODE({ layer, inputShape: [2], method: 'rk4', t: [0, 1, 2], outputs: 'all' })],
    });
    trained.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const x = tf.ones([1, 2]);
    const said = await warningsOf(async () => {
      await trained.fit(x, x, { epochs: 1, verbose: 0 });
      tf.dispose(path.predict(x));
    });
    expect(said).to.deep.equal([]);
    tf.dispose([x, ...layer.getWeights()]);
  });
});
