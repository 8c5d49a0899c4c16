/**
 * Newton's method within a trust radius, BFGS and L-BFGS: minima, closed forms of steps and of their derivatives, scipy's
 * counts.
 */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { InvalidArgumentError } from 'tfjs-diffeq';
import { bfgs, lbfgs, Newton, newtonStep } from 'tfjs-diffeq/optim';
import { backendNames, onBackends } from './backends.js';
import { engineState, leavesOnlyItsResult } from './engine_probe.js';

const { rosenbrock: scipy } = JSON.parse(
  readFileSync(new URL('./reference/optim.json', import.meta.url), 'utf8'),
) as { rosenbrock: Record<'bfgs' | 'lbfgs', { x: number[]; iterations: number; evaluations: number }> };

function close(actual: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
  expect(actual).to.have.length(expected.length);
  expected.forEach((x, i) => expect(actual[i], `entry ${i}`).to.be.closeTo(x, tolerance));
}

/* [batch, 2] or [2] to [batch] or [1] */
const valley = (x: tf.Tensor): tf.Tensor => {
  const [a, b] = tf.split(tf.reshape(x, [-1, 2]), 2, 1);
  const terms = tf.add(tf.square(tf.sub(1, a)), tf.mul(100, tf.square(tf.sub(b, tf.square(a)))));
  return tf.reshape(terms, [-1]);
};

/* Park and Miller's, in (-1, 1). */
function randomNumbers(seed: number): () => number {
  let x = seed;
  return () => {
    x = (48271 * x) % (2 ** 31 - 1);
    return (2 * x) / (2 ** 31 - 1) - 1;
  };
}

const quadratic = (h: number[]) => (x: tf.Tensor) => tf.div(tf.sum(tf.mul(h, tf.square(x))), 2);

function testsOfNewton(): void {
  beforeEach(() => tf.engine().startScope('test'));
  afterEach(() => tf.engine().endScope());

  it('a quadratic in 1, 2 and 3 dimensions is minimised by one step', () => {
    for (const h of [[2], [2, 0.01], [3, 1, 500]]) {
      const x = tf.tensor1d(h.map((_, i) => 1 + i));
      close(
        newtonStep(quadratic(h), x, 10).dataSync(),
        h.map(() => 0),
        1e-5,
      );
    }
    close(newtonStep((x) => tf.square(tf.sub(x, 3)), tf.scalar(1), 5).dataSync(), [3], 1e-6);
    // Coupled: H = [[3, 1, 0], [1, 2, -1], [0, -1, 4]], x* = H^-1 (1, 2, 3) = (2, 19, 20) / 19 by Cramer's rule
    const H = tf.tensor2d([
      [3, 1, 0],
      [1, 2, -1],
      [0, -1, 4],
    ]);
    const coupled = (x: tf.Tensor) => {
      const column = tf.reshape(x, [3, 1]);
      return tf.sub(tf.div(tf.sum(tf.mul(column, tf.matMul(H, column))), 2), tf.sum(tf.mul(x, [1, 2, 3])));
    };
    const [a, b, c] = newtonStep(coupled, tf.tensor1d([5, -5, 1]), 100).dataSync();
    close([3 * a + b, a + 2 * b - c, -b + 4 * c], [1, 2, 3], 1e-5);
  });

  it('a long step ends on the trust radius, at the minimum of the model there', () => {
    // |H^-1 g| > r: (H + mu I) s = -g with |s| = r; the model's gradient is then parallel to s.
    const [h, r] = [[1, 4, 9], 0.5];
    const x = [3, 1, -1];
    const s = Array.from(newtonStep(quadratic(h), tf.tensor1d(x), r).dataSync(), (y, i) => y - x[i]);
    expect(Math.hypot(...s)).to.be.closeTo(r, 1e-5);
    const mu = h.map((k, i) => -(k * (x[i] + s[i])) / s[i]);
    close(mu, [mu[0], mu[0], mu[0]], 1e-3);
    expect(mu[0]).to.be.above(0);
  });

  it('saddles and maxima are left down the negative curvature, also where the gradient does not show it', () => {
    const saddle = quadratic([2, -2]);
    const near = newtonStep(saddle, tf.tensor1d([1, 0.01]), 1).dataSync();
    expect(Math.hypot(near[0] - 1, near[1] - 0.01)).to.be.closeTo(1, 1e-4);
    expect(near[1]).to.be.above(0.5);
    // The hard case: s = (-2 / 4, tau) with |s| = 1
    const hard = newtonStep(saddle, tf.tensor1d([1, 0]), 1).dataSync();
    expect(hard[0]).to.be.closeTo(0.5, 1e-4);
    expect(Math.abs(hard[1])).to.be.closeTo(Math.sqrt(0.75), 1e-4);
    // At a maximum with equal curvatures, one direction is taken.
    const top = newtonStep(quadratic([-1, -1, -1]), tf.zeros([3]), 0.7).dataSync();
    expect(Math.hypot(...top)).to.be.closeTo(0.7, 1e-5);
    close(newtonStep(quadratic([-1]), tf.tensor1d([0.5]), 2).dataSync(), [2.5], 1e-5);
    // Nothing to go by: it stays.
    close(newtonStep((x) => tf.mul(0, tf.sum(x)), tf.tensor1d([1, 2, 3]), 1).dataSync(), [1, 2, 3], 1e-6);
  });

  it("Rosenbrock's valley, and a batch of starts at once", () => {
    let x: tf.Tensor = tf.tensor2d([
      [-1.2, 1],
      [2, 2],
      [0, -1],
    ]);
    for (let i = 0; i < 25; i++) x = newtonStep(valley, x, tf.tensor1d([0.5, 0.4, 0.3]));
    close(x.dataSync(), [1, 1, 1, 1, 1, 1], 1e-4);
    const single = newtonStep(valley, tf.tensor1d([-1.2, 1]), 0.5).dataSync();
    const batched = newtonStep(
      (z) => tf.sum(valley(z)),
      tf.tensor2d([
        [-1.2, 1],
        [2, 2],
      ]),
      0.5,
    ).dataSync();
    close(batched.slice(0, 2), [...single], 1e-6);
  });

  it('its derivatives: of a minimum in a parameter, and of a step on the radius', () => {
    // x* of (x - p)^2 / 2 + p^2 x is p - p^2
    const minimum = (p: tf.Tensor) => {
      const loss = (x: tf.Tensor) =>
        tf.add(tf.div(tf.sum(tf.square(tf.sub(x, p))), 2), tf.mul(tf.square(p), tf.sum(x)));
      return tf.sum(newtonStep(loss, tf.tensor1d([0.4]), 10));
    };
    close(tf.grad(minimum)(tf.scalar(0.3)).dataSync(), [1 - 0.6], 1e-5);
    close(
      tf
        .grad((p: tf.Tensor) => tf.grad(minimum)(p))(tf.scalar(0.3))
        .dataSync(),
      [-2],
      1e-4,
    );
    const weights = tf.tensor1d([1, 2]);
    const stepped = (x: tf.Tensor) => tf.sum(tf.mul(newtonStep(valley, x, 0.2), weights));
    const x = [-1.2, 1];
    const found = tf.grad(stepped)(tf.tensor1d(x)).dataSync();
    const h = 5e-3;
    x.forEach((_, k) => {
      const at = (by: number) => stepped(tf.tensor1d(x.map((z, i) => (i === k ? z + by : z)))).dataSync()[0];
      expect(found[k]).to.be.closeTo((at(h) - at(-h)) / (2 * h), 5e-3);
    });
    const radius = (r: tf.Tensor) => tf.sum(newtonStep(quadratic([1]), tf.tensor1d([5]), r));
    close(tf.grad(radius)(tf.scalar(0.5)).dataSync(), [-1], 1e-5);
  });
}

describe('newtonStep', () => {
  onBackends(backendNames, testsOfNewton);

  it('no point of the ball is lower than its step, for random models of any size and signature', () => {
    const draw = randomNumbers(1);
    const batch = 40;
    const radius = 0.7;
    for (const n of [1, 2, 3]) {
      for (const size of [1e-8, 1, 1e10]) {
        const gradients = Array.from({ length: batch }, () => Array.from({ length: n }, draw));
        const hessians = gradients.map(() => {
          const rows = Array.from({ length: n }, () => Array.from({ length: n }, draw));
          return rows.map((row, i) => row.map((x, j) => (x + rows[j][i]) / 2));
        });
        const steps = tf.tidy(() => {
          const [g, h] = [tf.tensor2d(gradients), tf.tensor3d(hessians)];
          const model = (x: tf.Tensor) => {
            const curved = tf.reshape(tf.matMul(h, tf.reshape(x, [batch, n, 1])), [batch, n]);
            return tf.mul(size, tf.sum(tf.mul(x, tf.add(g, tf.div(curved, 2))), 1));
          };
          return newtonStep(model, tf.zeros([batch, n]), radius).arraySync() as number[][];
        });
        steps.forEach((step, b) => {
          const model = (x: number[]) =>
            x.reduce((sum, xi, i) => {
              const curved = x.reduce((s, xj, j) => s + hessians[b][i][j] * xj, 0);
              return sum + xi * (gradients[b][i] + curved / 2);
            }, 0);
          expect(Math.hypot(...step)).to.be.below(radius * 1.0001);
          for (let k = 0; k < 300; k++) {
            const direction = Array.from({ length: n }, draw);
            const length = (k % 3 ? radius : radius * draw()) / Math.hypot(...direction);
            expect(model(direction.map((x) => x * length))).to.be.above(model(step) - 1e-4);
          }
        });
      }
    }
  });

  it('stays within the radius where the loss is flat in some directions, or in all', () => {
    const plane = (x: tf.Tensor) => tf.square(tf.sub(tf.sum(x), 3));
    const total = (step: number[]) => step.reduce((sum, x) => sum + x, 0);
    for (const n of [1, 2, 3]) {
      for (const start of [0, 0.57735]) {
        for (const radius of [0.1, 1, 10]) {
          const x = tf.fill([n], start);
          const moved = Array.from(newtonStep(plane, x, radius).dataSync());
          // Along (1, .., 1) to the plane, or as far as the radius lets it.
          const wanted = Math.min(3, n * start + radius * Math.sqrt(n));
          expect(total(moved), `${n} ${start} ${radius}`).to.be.closeTo(wanted, 1e-3);
        }
      }
      for (const radius of [1e-3, 1, 1e3, 1e8]) {
        const step = newtonStep((x) => tf.sum(x), tf.zeros([n]), radius).dataSync();
        step.forEach((x) => expect((x / radius) * Math.sqrt(n)).to.be.closeTo(-1, 1e-5));
      }
    }
  });

  it('next to the hard case goes on to the radius, not beyond', () => {
    // Curvatures -1 and 1; the gradient leads 0.75 of the way along the first at the smallest shift, 1e-5.
    const curvature = tf.tensor1d([-1, 1]);
    const loss = (x: tf.Tensor) =>
      tf.add(tf.sum(tf.mul(x, [7.5e-6, 0.5])), tf.div(tf.sum(tf.mul(curvature, tf.square(x))), 2));
    const step = newtonStep(loss, tf.zeros([2]), 1).dataSync();
    expect(Math.hypot(...step)).to.be.closeTo(1, 1e-4);
    // -0.5 / (1 + 1)
    expect(step[1]).to.be.closeTo(-0.25, 1e-4);
    expect(step[0]).to.be.below(0);
  });

  it('leaves nothing but its result, and refuses what it cannot use', () => {
    const x = tf.tensor1d([-1.2, 1]);
    leavesOnlyItsResult(() => newtonStep(valley, x, 0.5)).dispose();
    const before = engineState();
    const refused = (call: () => unknown, fragment: string) =>
      expect(call).to.throw(InvalidArgumentError, fragment);
    refused(() => tf.tidy(() => newtonStep(valley, tf.ones([4]), 1)), 'n = 1, 2 or 3');
    refused(() => newtonStep(valley, x, 0), 'trustRadius');
    refused(() => newtonStep((z) => z, x, 1), 'the loss is a float32 tensor of shape [2]');
    refused(() => newtonStep((() => 1) as never, x, 1), 'the loss is number 1');
    expect(engineState()).to.deep.equal(before);
    x.dispose();
  });
});

function testsOfTheRadius(): void {
  const minimum = (loss: (x: tf.Tensor) => tf.Tensor, x0: tf.Tensor, radius?: number) => {
    const { x, ...rest } = new Newton({ trustRadius: radius }).minimize(loss, x0);
    const points = Array.from(x.dataSync());
    tf.dispose(x);
    return { ...rest, points };
  };

  it("finds the minimum of Rosenbrock's valley from starts near and far, each with a radius of its own", () => {
    const starts = [-1.2, 1, 2, 2, 0, -1, -5, 10, 1, 1, 3, -5];
    for (const radius of [0.01, 1, 100]) {
      const { points, converged, value } = minimum(valley, tf.tensor2d(starts, [6, 2]), radius);
      close(
        points,
        starts.map(() => 1),
        1e-3,
      );
      expect(converged).to.deep.equal(Array(6).fill(true));
      close(value, Array(6).fill(0), 1e-6);
    }
  });

  it("leaves the maximum and the saddles of Himmelblau's function for its four minima", () => {
    // https://en.wikipedia.org/wiki/Himmelblau's_function; the last start is its maximum, the second last a saddle.
    const minima = [3, 2, -2.805118, 3.131312, -3.77931, -3.283186, 3.584428, -1.848126];
    const himmelblau = (x: tf.Tensor) => {
      const [a, b] = tf.split(x, 2, 1);
      const [c, d] = [tf.sub(tf.add(tf.square(a), b), 11), tf.sub(tf.add(a, tf.square(b)), 7)];
      return tf.reshape(tf.add(tf.square(c), tf.square(d)), [-1]);
    };
    const starts = [4, 4, -4, 4, -4, -4, 4, -4, 3.385154, 0.0738518, -0.270845, -0.923039];
    const { points, converged } = minimum(himmelblau, tf.tensor2d(starts, [6, 2]));
    expect(converged).to.deep.equal(Array(6).fill(true));
    close(points.slice(0, 8), minima, 1e-4);
    for (const i of [8, 10]) {
      const near = [0, 2, 4, 6].filter(
        (k) => Math.hypot(points[i] - minima[k], points[i + 1] - minima[k + 1]) < 1e-4,
      );
      expect(near, `${points[i]}, ${points[i + 1]}`).to.have.length(1);
    }
  });

  it('ends where a loss that is flat along a plane is zero', () => {
    const plane = (x: tf.Tensor) => tf.square(tf.sub(tf.sum(x), 3));
    const { value, converged } = minimum(plane, tf.zeros([3]));
    expect(converged).to.deep.equal([true]);
    close(value, [0], 1e-6);
  });

  it('leaves an exact saddle, whose gradient is zero', () => {
    const { points } = minimum(
      (x) => tf.sub(tf.sum(tf.square(tf.square(x))), tf.sum(tf.square(x))),
      tf.zeros([1]),
    );
    expect(Math.abs(points[0])).to.be.closeTo(Math.SQRT1_2, 1e-4);
  });

  it('comes back from where the loss is not a number', () => {
    const { points, converged } = minimum(
      (x) => tf.reshape(tf.sub(x, tf.log(x)), [-1]),
      tf.tensor2d([[5], [0.01], [100]]),
    );
    close(points, [1, 1, 1], 1e-3);
    expect(converged).to.deep.equal([true, true, true]);
  });

  it('takes no step that raises the loss, and shrinks its radius instead', () => {
    const newton = new Newton({ trustRadius: 10 });
    const x = tf.tensor1d([3]);
    // Beyond its turning point the bell bends down: the model promises a step to the radius, away from the minimum.
    const loss = (z: tf.Tensor) => tf.neg(tf.exp(tf.neg(tf.sum(tf.square(z)))));
    const next = newton.step(loss, tf.tensor1d([-0.9]), newton.init(x));
    close(next.x.dataSync(), [-0.9], 1e-7);
    expect(next.state.trustRadius.dataSync()[0]).to.be.below(10);
  });

  it('its steps have derivatives: the minimum of (x - p)^2 / 2 + p^2 x is p - p^2', () => {
    const newton = new Newton({ trustRadius: 0.5 });
    const end = (p: tf.Tensor) => {
      const loss = (z: tf.Tensor) =>
        tf.add(tf.div(tf.sum(tf.square(tf.sub(z, p))), 2), tf.mul(tf.square(p), tf.sum(z)));
      let x: tf.Tensor = tf.tensor1d([2]);
      let state = newton.init(x);
      for (let i = 0; i < 6; i++) ({ x, state } = newton.step(loss, x, state));
      return tf.sum(x);
    };
    close(end(tf.scalar(0.3)).dataSync(), [0.21], 1e-5);
    close(tf.grad(end)(tf.scalar(0.3)).dataSync(), [0.4], 1e-5);
  });
}

describe('Newton', () => {
  onBackends(backendNames, () => {
    beforeEach(() => tf.engine().startScope('test'));
    afterEach(() => tf.engine().endScope());
    testsOfTheRadius();
  });

  it('leaves only its result, and the tape as it was', () => {
    const x = tf.tensor1d([-1.2, 1]);
    tf.dispose(leavesOnlyItsResult(() => new Newton().minimize(valley, x).x));
    const made = leavesOnlyItsResult(() => {
      const newton = new Newton();
      const state = newton.init(x);
      const next = newton.step(valley, x, state);
      tf.dispose(state.trustRadius);
      return [next.x, next.state.trustRadius];
    });
    tf.dispose([...made, x]);
  });

  it('refuses what it cannot do, saying why', () => {
    const newton = new Newton();
    const x = tf.tensor2d([
      [1, 2],
      [3, 4],
    ]);
    const wrong: [() => unknown, RegExp][] = [
      [() => new Newton({ trustRadius: 0 }), /trustRadius is number 0; expected a number > 0/],
      [() => new Newton({ trustRadius: 2, maxTrustRadius: 1 }), /maxTrustRadius is 1, below trustRadius 2/],
      [() => new Newton({ radius: 1 } as never), /unknown option radius of Newton; did you mean/],
      [() => newton.minimize(valley, x, { maxIter: 3 } as never), /did you mean maxIterations/],
      [() => newton.minimize((z) => tf.sum(valley(z)), x), /expected a float32 tensor \[2\]/],
      [() => newton.step(valley, x, newton.init(tf.tensor1d([1, 2]))), /for 2 points/],
      [() => newton.minimize((z) => tf.log(tf.sum(z)), tf.tensor1d([-1])), /not finite at x0/],
      [() => newton.init(tf.zeros([4])), /n = 1, 2 or 3/],
    ];
    const before = tf.memory().numTensors;
    for (const [call, message] of wrong)
      expect(() => tf.tidy(call as () => void)).to.throw(InvalidArgumentError, message);
    expect(tf.memory().numTensors).to.equal(before);
    x.dispose();
  });
});

describe('bfgs and lbfgs', () => {
  const rosenbrock = ([a, b]: Float64Array) => ({
    value: (1 - a) ** 2 + 100 * (b - a * a) ** 2,
    gradient: [-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)],
  });

  for (const [name, minimise] of Object.entries<typeof bfgs>({ bfgs, lbfgs })) {
    const reference = scipy[name as 'bfgs' | 'lbfgs'];

    it(`${name}: Rosenbrock's minimum, in about as many iterations as scipy`, () => {
      const found = minimise(rosenbrock, [-1.2, 1]);
      expect(found.converged, found.message).to.equal(true);
      close(found.x, [1, 1], 1e-5);
      close(found.x, reference.x, 1e-5);
      close(found.gradient, [0, 0], 1e-5);
      expect(found.iterations).to.be.within(0.7 * reference.iterations, 1.3 * reference.iterations);
      expect(found.evaluations).to.be.below(1.3 * reference.evaluations);
    });

    it(`${name}: 20 unknowns, and tensors in a tree`, () => {
      const chained = (x: Float64Array) => {
        const gradient = new Float64Array(20);
        let value = 0;
        for (let i = 0; i < 20; i += 2) {
          const part = rosenbrock(x.subarray(i, i + 2));
          value += part.value;
          gradient.set(part.gradient, i);
        }
        return { value, gradient };
      };
      const many = minimise(chained, new Float64Array(20).fill(-1));
      close(many.x, new Array<number>(20).fill(1), 1e-5);

      // y = a exp(-b t), measured without noise
      const t = tf.linspace(0, 2, 9);
      const data = tf.mul(2, tf.exp(tf.mul(-1.5, t)));
      const before = engineState();
      const start = { a: tf.scalar(1), b: [tf.tensor1d([1])] };
      const fit = minimise(
        ({ a, b: [b] }) => tf.sum(tf.squaredDifference(tf.mul(a, tf.exp(tf.neg(tf.mul(b, t)))), data)),
        start,
      );
      expect(fit.converged, fit.message).to.equal(true);
      close([fit.x.a.dataSync()[0], fit.x.b[0].dataSync()[0]], [2, 1.5], 1e-3);
      tf.dispose([start, fit.x] as never);
      expect(engineState()).to.deep.equal(before);
      tf.dispose([t, data]);
    });

    it(`${name}: says why it ended, and refuses what it cannot use`, () => {
      const short = minimise(rosenbrock, [-1.2, 1], { maxIterations: 3 });
      expect([short.converged, short.iterations]).to.deep.equal([false, 3]);
      expect(short.message).to.include('3 iterations');
      const flat = minimise(() => ({ value: 1, gradient: [0] }), [5]);
      expect([flat.converged, flat.iterations, flat.x[0]]).to.deep.equal([true, 0, 5]);
      const wrong = minimise(([x]) => ({ value: x * x, gradient: [-2 * x] }), [1]);
      expect(wrong.converged).to.equal(false);
      expect(wrong.message).to.include('no step lowers');
      // A wall where the function ends: log(x) for x > 0
      const wall = minimise(([x]) => ({ value: x - Math.log(x), gradient: [1 - 1 / x] }), [0.01]);
      close(wall.x, [1], 1e-4);
      const refused = (call: () => unknown, fragment: string) =>
        expect(call).to.throw(InvalidArgumentError, fragment);
      refused(() => minimise(rosenbrock, []), 'at least one');
      refused(() => minimise(rosenbrock, [NaN, 1]), 'finite numbers');
      refused(() => minimise((() => 1) as never, [1]), 'expected { value, gradient }');
      refused(() => minimise(() => ({ value: NaN, gradient: [1] }), [1]), 'not finite at x0');
      refused(() => minimise(5 as never, [1]), 'expected a function');
      refused(() => minimise(rosenbrock, [1, 2], { gtol: -1 }), 'gtol');
    });
  }
});
