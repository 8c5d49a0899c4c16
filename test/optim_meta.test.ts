/**
 * Gradients through inner training steps: closed forms, differences, implicit gradients, memory.
 */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { InvalidArgumentError, MissingGradientError, odeint } from 'tfjs-diffeq';
import {
  adam,
  bfgs,
  extractStateDict,
  functionalNet,
  hessian,
  imaml,
  implicitMinimum,
  layersNet,
  lbfgs,
  MetaAdam,
  MetaOptimizer,
  MetaSGD,
  nthDerivative,
  recoverStateDict,
  sgd,
} from 'tfjs-diffeq/optim';
import { backendNames, onBackends } from './backends.js';
import { engineState } from './engine_probe.js';

const number = (x: tf.Tensor) => x.dataSync()[0];
const parabola = (a: tf.Tensor) => functionalNet(({ a: k }, x: tf.Tensor) => tf.mul(k, tf.square(x)), { a });

function testsOfMeta(): void {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => tf.engine().endScope());

  it('net a x^2, a = 1, x = 2, rate 1: -28 in x, by a loss or a function', () => {
    // a' = a - x^2 = -3; d(a' x^2)/dx = 2 a' x + x^2 (-2 x)
    for (const byFunction of [false, true]) {
      const outer = (x: tf.Tensor) => {
        const net = parabola(tf.scalar(1));
        const optimizer = new MetaSGD(net, 1);
        optimizer.step(byFunction ? ({ a }) => tf.mul(a, tf.square(x)) : net.apply(x));
        return net.apply(x);
      };
      expect(number(tf.grad(outer)(tf.scalar(2)))).to.be.closeTo(-28, 1e-4);
    }
  });

  it('two steps, and momentum: closed forms in the start, the input and the rate', () => {
    // loss a^2 x / 2, slope a x: a1 = a (1 - r x); with momentum m: a2 = a1 (1 - r x) - r m x a
    for (const momentum of [0, 0.5]) {
      const outer = (a: tf.Tensor, x: tf.Tensor, r: tf.Tensor) => {
        const net = functionalNet((p, y: tf.Tensor) => tf.mul(0.5, tf.mul(tf.square(p), y)), a);
        const optimizer = new MetaSGD(net, r, { momentum });
        for (let i = 0; i < 2; i++) optimizer.step(net.apply(x));
        return net.params as tf.Tensor;
      };
      const [a, x, r] = [1.5, 2, 0.1];
      const s = 1 - r * x;
      const expected = [
        s * s - r * momentum * x,
        a * (-2 * s * r - r * momentum),
        a * (-2 * s * x - momentum * x),
      ];
      const found = tf.grads(outer)([tf.scalar(a), tf.scalar(x), tf.scalar(r)]);
      found.forEach((g, i) => expect(number(g)).to.be.closeTo(expected[i], 1e-5));
    }
  });

  it('MetaAdam against central differences', () => {
    const outer = (a: tf.Tensor, x: tf.Tensor) => {
      const net = functionalNet(({ w }, y: tf.Tensor) => tf.tanh(tf.mul(w, y)), { w: a });
      const optimizer = new MetaAdam(net, 0.1);
      for (let i = 0; i < 3; i++) optimizer.step(tf.square(tf.sub(net.apply(x), 0.2)));
      return tf.square(net.apply(x));
    };
    const point = [0.7, 1.3];
    const value = (p: number[]) => number(outer(tf.scalar(p[0]), tf.scalar(p[1])));
    // Outside of a gradient a tensor loss has no history.
    expect(() => value(point)).to.throw(MissingGradientError, 'pass a function');
    const [toA, toX] = tf.grads(outer)([tf.scalar(point[0]), tf.scalar(point[1])]);
    const taped = (p: number[]) => number(tf.valueAndGrads(outer)([tf.scalar(p[0]), tf.scalar(p[1])]).value);
    [toA, toX].forEach((g, i) => {
      const h = 5e-3;
      const moved = (by: number) => point.map((z, k) => (k === i ? z + by : z));
      expect(number(g)).to.be.closeTo((taped(moved(h)) - taped(moved(-h))) / (2 * h), 2e-3);
    });
  });

  it('parameters made from each other are independent of each other', () => {
    // b = 3 a: the slope of a b in a is b, not b + 3 a.
    const outer = (a: tf.Tensor) => {
      const net = functionalNet((p) => tf.mul(p.a, p.b), { a, b: tf.mul(a, 3) });
      const optimizer = new MetaSGD(net, 0.1);
      optimizer.step(net.apply());
      return net.params.a;
    };
    // a - 0.1 b = 0.7 a
    expect(number(tf.grad(outer)(tf.scalar(2)))).to.be.closeTo(0.7, 1e-6);
  });

  it('variables to start from: tf.variableGrads finds the meta-gradient', () => {
    const a = tf.variable(tf.scalar(1));
    const { grads } = tf.variableGrads(() => {
      const net = parabola(a);
      const optimizer = new MetaSGD(net, 1);
      optimizer.step(net.apply(tf.scalar(2)));
      return tf.square(net.params.a) as tf.Scalar; // (a - 4)^2
    });
    expect(number(grads[a.name])).to.be.closeTo(-6, 1e-5);
    expect(number(a)).to.equal(1);
    a.dispose();
  });

  it('implicit gradients of a quadratic problem with a proximal term', () => {
    // phi* = (2 c t + l theta) / (2 c + l), by element
    const [c, t, l] = [[1, 4], [2, -1], 2];
    const loss = (phi: tf.Tensor) => tf.sum(tf.mul(c, tf.square(tf.sub(phi, t))));
    const theta = tf.tensor1d([0.5, 1]);
    const solve = (objective: (phi: tf.Tensor) => tf.Tensor, start: tf.Tensor) => lbfgs(objective, start).x;
    const adapted = imaml(loss, theta, solve as never, { lambda: l }) as tf.Tensor;
    const expected = c.map((k, i) => (2 * k * t[i] + l * [0.5, 1][i]) / (2 * k + l));
    adapted.dataSync().forEach((x, i) => expect(x).to.be.closeTo(expected[i], 1e-4));
    const outer = (x: tf.Tensor) =>
      tf.sum(tf.mul(imaml(loss, x, solve as never, { lambda: l }) as tf.Tensor, [1, 3]));
    const found = tf.grad(outer)(theta).dataSync();
    c.forEach((k, i) => expect(found[i]).to.be.closeTo(([1, 3][i] * l) / (2 * k + l), 1e-5));
  });

  it('implicit gradients in coefficients; what they cannot give throws', () => {
    // min over p of k p^2 / 2 - p b: p = b / k
    const inner = (p: tf.Tensor, { k, b }: { k: tf.Tensor; b: tf.Tensor }) =>
      tf.sub(tf.mul(k, tf.div(tf.square(p), 2)), tf.mul(p, b));
    const solve = ({ k, b }: { k: tf.Tensor; b: tf.Tensor }) => tf.div(b, k);
    const f = (k: tf.Tensor, b: tf.Tensor) => implicitMinimum(inner as never, { k, b }, solve) as tf.Tensor;
    const [toK, toB] = tf.grads(f)([tf.scalar(4), tf.scalar(3)]);
    expect(number(toK)).to.be.closeTo(-3 / 16, 1e-6);
    expect(number(toB)).to.be.closeTo(1 / 4, 1e-6);
    const captured = (k: tf.Tensor) =>
      implicitMinimum(
        (p: tf.Tensor, b: tf.Tensor) => inner(p, { k, b }),
        tf.scalar(3),
        (b) => tf.div(b, k),
      );
    expect(() => tf.grad(captured)(tf.scalar(4))).to.throw(MissingGradientError, 'closes over');
    const concave = (b: tf.Tensor) =>
      implicitMinimum((p: tf.Tensor, z: tf.Tensor) => inner(p, { k: tf.scalar(-1), b: z }), b, tf.neg);
    expect(() => tf.grad(concave)(tf.scalar(3))).to.throw(MissingGradientError, 'no minimum');
  });
}

function testsOfSecondImplicitDerivatives(): void {
  const quotient = (k: tf.Tensor, b: tf.Tensor) =>
    implicitMinimum(
      (p: tf.Tensor, theta) => tf.sub(tf.mul(theta.k, tf.div(tf.square(p), 2)), tf.mul(p, theta.b)),
      { k, b },
      (theta) => tf.div(theta.b, theta.k),
    );

  it('those of b / k, the minimum of k p^2 / 2 - p b', () => {
    const [k, b] = [4, 3];
    const slopeInK = (x: tf.Tensor, y: tf.Tensor) => tf.grad((z: tf.Tensor) => quotient(z, y))(x);
    const [kk, kb] = tf.grads(slopeInK)([tf.scalar(k), tf.scalar(b)]);
    expect(number(kk)).to.be.closeTo((2 * b) / k ** 3, 1e-6);
    expect(number(kb)).to.be.closeTo(-1 / k ** 2, 1e-6);
    const slopeInB = (y: tf.Tensor) => tf.grad((z: tf.Tensor) => quotient(tf.scalar(k), z))(y);
    // p is linear in b
    expect(number(tf.grad((y: tf.Tensor) => tf.mul(slopeInB(y), y))(tf.scalar(b)))).to.be.closeTo(
      1 / k,
      1e-6,
    );
  });

  it('those of log theta, the minimum of exp(p) - theta p, in a later loss', () => {
    const logarithm = (theta: tf.Tensor) =>
      implicitMinimum((p: tf.Tensor, x) => tf.sum(tf.sub(tf.exp(p), tf.mul(x, p))), theta, tf.log);
    const loss = (theta: tf.Tensor) => tf.sum(tf.square(logarithm(theta)));
    const theta = [0.5, 2, 3];
    const x = tf.tensor1d(theta);
    const before = engineState().numTensors;
    const matrix = hessian(loss)(x);
    expect(engineState().numTensors - before, 'tensors left').to.equal(1);
    const found = matrix.dataSync();
    // (log^2)'' = 2 (1 - log) / theta^2
    theta.forEach((x, i) =>
      theta.forEach((_, j) =>
        expect(found[3 * i + j]).to.be.closeTo(i === j ? (2 * (1 - Math.log(x))) / x ** 2 : 0, 2e-5),
      ),
    );
  });

  it('those of a coupled problem are the differences of its first derivatives', () => {
    const minimum = (theta: tf.Tensor) => {
      const loss = (p: tf.Tensor, x: tf.Tensor) => {
        const [a, b] = tf.unstack(p);
        const bowl = tf.add(tf.mul(2, tf.square(a)), tf.add(tf.square(b), tf.mul(a, b)));
        return tf.add(bowl, tf.sum(tf.mul(tf.sin(x), tf.exp(tf.mul(0.3, p)))));
      };
      return implicitMinimum(
        loss,
        theta,
        (x) => bfgs((p: tf.Tensor) => loss(p, x), tf.zeros([2]), { gtol: 1e-6, ftol: 0 }).x,
      );
    };
    const slope = (x: tf.Tensor) => tf.grad((z: tf.Tensor) => tf.sum(tf.mul(minimum(z), [1, 2])))(x);
    const [at, h] = [[0.4, 1.1], 1e-2];
    const weights = tf.tensor1d([1, -1]);
    const found = tf
      .grad((x: tf.Tensor) => tf.sum(tf.mul(slope(x), weights)))(tf.tensor1d(at))
      .dataSync();
    at.forEach((_, i) => {
      const value = (by: number) => {
        const [a, b] = slope(tf.tensor1d(at.map((x, k) => (k === i ? x + by : x)))).dataSync();
        return a - b;
      };
      expect(found[i]).to.be.closeTo((value(h) - value(-h)) / (2 * h), 1e-4);
    });
  });

  it('and those of third and fourth order', () => {
    // -6 b / k^4 and 24 b / k^5
    const found = [3, 4].map((n) =>
      number(nthDerivative((z: tf.Tensor) => quotient(z, tf.scalar(3)), n)(tf.scalar(2))),
    );
    expect(found[0]).to.be.closeTo(-18 / 16, 1e-5);
    expect(found[1]).to.be.closeTo(72 / 32, 1e-4);
  });

  it('those of tensors that the inner loss closes over throw', () => {
    const hidden = (c: tf.Tensor) =>
      tf.grad((b: tf.Tensor) =>
        implicitMinimum(
          (p: tf.Tensor, z) => tf.sub(tf.mul(c, tf.square(p)), tf.mul(p, z)),
          b,
          (z) => tf.div(z, tf.mul(2, c)),
        ),
      )(tf.scalar(3));
    expect(() => tf.grad(hidden)(tf.scalar(4))).to.throw(MissingGradientError, 'closes over');
  });
}

describe('an implicit gradient of an ill-conditioned problem', () => {
  /* G = |sqrt(h) Q (p - theta)|^2 / 2 with h from 1 to c and Q a reflection: p = theta. */
  const gradient = (c: number, options = {}) => {
    const n = 30;
    const h = Array.from({ length: n }, (_, i) => c ** (i / (n - 1)));
    const reflected = (x: tf.Tensor) => tf.sub(x, tf.mul(2 / n, tf.sum(x)));
    const inner = (p: tf.Tensor, theta: tf.Tensor) =>
      tf.div(tf.sum(tf.mul(h, tf.square(reflected(tf.sub(p, theta))))), 2);
    const outer = (theta: tf.Tensor) =>
      tf.sum(tf.mul(implicitMinimum(inner, theta, tf.clone, options), tf.range(1, n + 1)));
    return tf.tidy(() =>
      Array.from(
        tf
          .grad(outer)(tf.zeros([n]))
          .dataSync(),
      ),
    );
  };

  it('warns where conjugate gradients do not get there, unless they were to stop early', () => {
    const { warn } = console;
    const said: string[] = [];
    console.warn = (message: string) => void said.push(message);
    try {
      gradient(1e3).forEach((x, i) => expect(x).to.be.closeTo(i + 1, 1e-2));
      gradient(1e6, { maxIterations: 3 });
      expect(said).to.deep.equal([]);
      gradient(1e6);
      gradient(1e6);
    } finally {
      console.warn = warn;
    }
    expect(said).to.have.length(1);
    expect(said[0]).to.match(/leave .* % of their residual.*proximal term/);
  });
});

describe('meta-learning', () => {
  onBackends(backendNames, () =>
    describe('second derivatives of implicit minima', testsOfSecondImplicitDerivatives),
  );
  onBackends(backendNames, testsOfMeta);

  it('a loss that reads no parameter of this moment throws instead of leaving them untrained', () => {
    const outer = (x: tf.Tensor) => {
      const net = parabola(tf.scalar(1));
      const optimizer = new MetaSGD(net, 1);
      const loss = net.apply(x);
      expect(() => optimizer.step(() => loss)).to.throw(MissingGradientError, 'inside the function');
      optimizer.step(loss);
      expect(() => optimizer.step(loss)).to.throw(MissingGradientError, 'after the last step');
      return net.apply(x);
    };
    expect(tf.tidy(() => number(tf.grad(outer)(tf.scalar(2))))).to.be.closeTo(-28, 1e-4);
  });

  it('through a solve: the start of a rate that two steps fit to an observation', () => {
    const outer = (start: tf.Tensor) => {
      const net = functionalNet(
        (k, y0: tf.Tensor) =>
          odeint((_t, y) => tf.neg(tf.mul(k, tf.tanh(y))), y0, [0, 1], { method: 'rk4', stepSize: 0.25 }),
        start,
      );
      const optimizer = new MetaAdam(net, 0.1);
      const y0 = tf.tensor1d([1]);
      for (let i = 0; i < 2; i++) optimizer.step(tf.sum(tf.square(tf.sub(net.apply(y0), 0.2))));
      return tf.sum(net.apply(y0));
    };
    const value = (k: number) => tf.tidy(() => number(tf.valueAndGrad(outer)(tf.scalar(k)).value));
    const slope = (value(0.51) - value(0.49)) / 0.02;
    expect(tf.tidy(() => number(tf.grad(outer)(tf.scalar(0.5))))).to.be.closeTo(slope, 1e-3);
  });

  it('implicit gradients in what the outer loss makes: theta and data', () => {
    const outer = (x: tf.Tensor) => {
      const data = tf.tensor1d([2, 4]);
      const index = tf.tensor1d([1, 0], 'int32');
      const loss = (p: tf.Tensor) => tf.sum(tf.square(tf.sub(tf.gather(p, index), data)));
      const adapted = imaml(
        loss,
        tf.mul(x, 2),
        (objective, start) => lbfgs(objective, start).x as tf.Tensor,
        {
          lambda: 2,
        },
      );
      return tf.sum(adapted as tf.Tensor);
    };
    const before = engineState();
    // dphi/dtheta = 2 / (2 + 2), theta = 2 x
    const found = tf.tidy(() =>
      Array.from(
        tf
          .grad(outer)(tf.tensor1d([1, 1]))
          .dataSync(),
      ),
    );
    for (const g of found) expect(g).to.be.closeTo(1, 1e-5);
    expect(engineState()).to.deep.equal(before);
  });

  it('1000 outer steps with inner steps leave no tensor behind', () => {
    const start = { w: tf.variable(tf.tensor1d([0.5, -0.5])) };
    const optimizer = tf.train.sgd(0.05);
    const x = tf.tensor1d([1, 2]);
    const net = functionalNet(({ w }, y: tf.Tensor) => tf.sum(tf.square(tf.sub(tf.mul(w, y), 1))), start);
    const fresh = extractStateDict(net);
    const outer = (): tf.Scalar => {
      recoverStateDict(net, fresh);
      const inner = new MetaAdam(net, 0.1);
      for (let i = 0; i < 2; i++) inner.step(net.apply(x));
      return net.apply(x) as tf.Scalar;
    };
    const first = tf.tidy(() => number(optimizer.minimize(outer, true)!));
    const before = engineState();
    for (let i = 0; i < 1000; i++) optimizer.minimize(outer);
    expect(engineState()).to.deep.equal(before);
    expect(tf.tidy(() => number(optimizer.minimize(outer, true)!))).to.be.below(first / 10);
    tf.dispose([start.w, x]);
  });

  it('a loss that throws leaves the net, its optimizer and the engine as they were', () => {
    const net = functionalNet((w) => tf.sum(tf.square(w)), tf.tensor1d([1, 2]));
    const start = net.params;
    const optimizer = new MetaAdam(net, 0.1);
    const state = optimizer.state;
    const boom = new RangeError('thrown by the loss');
    const throwing = (w: tf.Tensor): tf.Tensor => {
      tf.exp(tf.square(w));
      throw boom;
    };
    const before = engineState();
    expect(() => optimizer.step(throwing)).to.throw(boom);
    expect(() => optimizer.step((w) => tf.mul(tf.sum(w), NaN))).to.throw(InvalidArgumentError, 'not finite');
    const outer = (x: tf.Tensor) => {
      expect(() => optimizer.step(throwing)).to.throw(boom);
      return tf.square(x);
    };
    expect(tf.tidy(() => number(tf.grad(outer)(tf.scalar(3))))).to.equal(6);
    expect(engineState()).to.deep.equal(before);
    expect([net.params, optimizer.state]).to.deep.equal([start, state]);
    optimizer.dispose();
    tf.dispose(start);
  });

  it('outside of a gradient a net trains as by any optimizer, and nothing piles up', () => {
    const before = engineState();
    const start = tf.tidy(() => tf.variable(tf.tensor1d([3, -2])));
    const net = functionalNet((w) => tf.sum(tf.square(w)), start);
    const optimizer = new MetaAdam(net, 0.05);
    const step = () => tf.tidy(() => optimizer.step((w) => tf.sum(tf.square(w))));
    step();
    const after = engineState();
    for (let i = 0; i < 999; i++) step();
    expect(engineState()).to.deep.equal(after);
    expect(tf.tidy(() => number(net.apply()))).to.be.below(1e-4);
    expect(Array.from(start.dataSync())).to.deep.equal([3, -2]);
    optimizer.dispose();
    start.dispose();
    expect(engineState()).to.deep.equal(before);
  });

  describe('state dicts', () => {
    const quadratic = (w: tf.Tensor) => tf.sum(tf.square(w));

    it('bring a net and its optimizer back, by reference, copy or value', () => {
      for (const by of ['reference', 'copy', 'detached'] as const) {
        const before = engineState();
        const net = functionalNet(quadratic, tf.tensor1d([1, 2]));
        const start = net.params;
        const optimizer = new MetaOptimizer(net, sgd(0.1, { momentum: 0.9 }));
        const step = () => {
          optimizer.step(quadratic);
          return Array.from((net.params as tf.Tensor).dataSync());
        };
        step();
        const saved = [extractStateDict(net, { by }), extractStateDict(optimizer, { by })] as const;
        const second = step();
        step();
        recoverStateDict(net, saved[0]);
        recoverStateDict(optimizer, saved[1]);
        expect(optimizer.state.step).to.equal(1);
        expect(step()).to.deep.equal(second);
        optimizer.dispose();
        tf.dispose([start, saved] as never);
        expect(engineState(), by).to.deep.equal(before);
      }
    });

    it('carry gradients by reference and copy, none when detached', () => {
      const expected = { reference: 0.8, copy: 0.8, detached: undefined };
      for (const by of ['reference', 'copy', 'detached'] as const) {
        const outer = (a: tf.Tensor) => {
          const net = functionalNet(quadratic, a);
          const optimizer = new MetaSGD(net, 0.1);
          optimizer.step(net.apply());
          const saved = extractStateDict(net, { by });
          optimizer.step(net.apply());
          recoverStateDict(net, saved);
          return tf.sum(net.params as tf.Tensor);
        };
        const gradient = () => tf.tidy(() => number(tf.grad(outer)(tf.tensor1d([1]))));
        if (by === 'detached') expect(gradient).to.throw('Cannot compute gradient');
        else expect(gradient()).to.be.closeTo(expected[by], 1e-6);
      }
    });

    it('of other shapes, or of nothing known, are refused', () =>
      void tf.tidy(() => {
        const net = functionalNet(quadratic, tf.tensor1d([1, 2]));
        const optimizer = new MetaSGD(net, 0.1, { momentum: 0.5 });
        expect(() => recoverStateDict(net, tf.ones([3]) as never)).to.throw(
          InvalidArgumentError,
          'shape [2]',
        );
        expect(() => recoverStateDict(optimizer, {} as never)).to.throw(
          InvalidArgumentError,
          'extractStateDict',
        );
        expect(() => extractStateDict({} as never)).to.throw(InvalidArgumentError, 'FunctionalNet');
        expect(() => extractStateDict(net, { by: 'value' as never })).to.throw(
          InvalidArgumentError,
          "'detached'",
        );
      }));

    it('that ended with their gradient say so', () => {
      const net = functionalNet(quadratic, tf.tensor1d([1, 2]));
      const outer = (x: tf.Tensor) => {
        const optimizer = new MetaSGD(net, 0.1);
        optimizer.step(tf.mul(net.apply(), x));
        return net.apply();
      };
      tf.grad(outer)(tf.scalar(1)).dispose();
      expect(() => tf.grad(outer)(tf.scalar(1))).to.throw(
        InvalidArgumentError,
        'recover a state that outlives it',
      );
    });
  });

  describe('layersNet', () => {
    const model = () =>
      tf.sequential({
        layers: [
          tf.layers.dense({ units: 3, activation: 'tanh', inputShape: [2] }),
          tf.layers.dense({ units: 1 }),
        ],
      });

    it('computes what the model does, and steps leave the model alone', () => {
      const m = model();
      const x = tf.tensor2d([[0.5, -1]]);
      const net = layersNet(m);
      expect(Object.keys(net.params)).to.have.length(4);
      const before = number(m.apply(x) as tf.Tensor);
      expect(number(net.apply(x))).to.equal(before);
      const outer = (y: tf.Tensor) => {
        const inner = layersNet(m);
        const optimizer = new MetaSGD(inner, 0.1);
        optimizer.step(tf.sum(tf.square(tf.sub(inner.apply(x), y))));
        expect(number(inner.apply(x))).not.to.equal(before);
        return tf.sum(inner.apply(x));
      };
      // Central differences in the target of the inner loss.
      const value = (y: number) => number(tf.valueAndGrad(outer)(tf.scalar(y)).value);
      const h = 1e-2;
      const slope = (value(0.3 + h) - value(0.3 - h)) / (2 * h);
      expect(number(tf.grad(outer)(tf.scalar(0.3)))).to.be.closeTo(slope, 1e-3);
      expect(number(m.apply(x) as tf.Tensor)).to.equal(before);
      m.dispose();
    });

    it('refuses what is no built model', () => {
      expect(() => layersNet({} as never)).to.throw(InvalidArgumentError, 'inputShape');
      const unbuilt = tf.layers.dense({ units: 1 });
      expect(() => layersNet(unbuilt)).to.throw(InvalidArgumentError, 'Build it first');
    });
  });

  it('refuses other nets and optimizers', () => {
    const net = functionalNet((w) => w, tf.scalar(1));
    expect(() => new MetaOptimizer({} as never, adam(1))).to.throw(InvalidArgumentError, 'functionalNet');
    expect(() => new MetaOptimizer(net, tf.train.adam() as never)).to.throw(InvalidArgumentError, 'sgd(0.1)');
    expect(() => functionalNet({} as never, tf.scalar(1))).to.throw(InvalidArgumentError, 'layersNet');
    tf.dispose(net.params as tf.Tensor);
  });
});
