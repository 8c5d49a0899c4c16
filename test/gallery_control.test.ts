/** The models of the examples of gradients and of control, beside what is known in closed form. */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { odeint } from 'tfjs-diffeq';
import { draw, exactSlopes, Network, noise, rms, slopeOfParabola } from '../examples/lib/first_gradient.js';
import {
  derivativeInSum,
  largestError,
  nestedDerivative,
  withStockGradients,
} from '../examples/lib/high_derivatives.js';
import { leastEffort, optimal, Programme, task } from '../examples/lib/rigid_body.js';
import {
  algebraicRiccati,
  Controller,
  cost,
  optimalCost,
  optimalPath,
  riccati,
  riccatiSlope,
  simulatedCost,
} from '../examples/lib/spring_damper_control.js';

describe('the examples of gradients and control', () => {
  let tensors: number;
  beforeEach(() => (tensors = tf.memory().numTensors));
  afterEach(() => expect(tf.memory().numTensors, 'tensors kept').to.equal(tensors));

  describe('first gradients', () => {
    it('the slope of x^2 + 2x + 1 at 2 is 6', () => {
      expect(slopeOfParabola(2)).to.equal(6);
    });

    it('a network 10-20-1 comes near to the noise, and to the slopes of the function', () => {
      const [seen, heldBack] = [draw(2000, 11), draw(500, 22)];
      const network = new Network();
      const before = network.error(heldBack);
      network.fit(seen, 40, 25);
      expect(before).to.be.above(4);
      expect(network.error(heldBack)).to.be.within(0.9 * noise, 1.6 * noise);
      expect(tf.tidy(() => rms(tf.sub(heldBack.y, heldBack.clean)))).to.be.closeTo(noise, 0.1);
      const exact = exactSlopes(heldBack.x);
      network.meanSlopes(heldBack.x).forEach((slope, i) => expect(slope).to.be.closeTo(exact[i], 1));
      network.dispose();
      tf.dispose([...Object.values(seen), ...Object.values(heldBack)] as tf.Tensor[]);
    });
  });

  describe('derivatives of tanh', () => {
    const points = Array.from({ length: 61 }, (_, i) => -3 + i / 10);

    for (const n of [1, 2, 3, 4, 5, 6, 7]) {
      it(`of order ${n} are their closed forms to 1e-6`, () => {
        expect(largestError(n, points, nestedDerivative(n, points))).to.be.below(1e-6);
        expect(largestError(n, points, derivativeInSum(n, points))).to.be.below(1e-6);
      });
    }

    it('are lost in tfjs alone from the second on: in a sum silently', () => {
      const inSum = withStockGradients(() => derivativeInSum(2, points));
      expect(largestError(2, points, inSum)).to.be.above(0.99);
      expect(() => withStockGradients(() => nestedDerivative(2, points))).to.throw('Cannot compute gradient');
      tensors = tf.memory().numTensors; // tfjs does not free what it held when its gradient throws
      expect(largestError(2, points, nestedDerivative(2, points))).to.be.below(1e-6); // repaired again
    });
  });

  describe('a spring and a damper', () => {
    it('have a regulator: the closed form is where the Riccati equation rests, and where it goes', () => {
      const closedForm = algebraicRiccati();
      riccatiSlope(closedForm).forEach((slope) => expect(slope).to.be.closeTo(0, 1e-14));
      riccati([0, 30])[1].forEach((p, i) => expect(p).to.be.closeTo(closedForm[i], 1e-11));
    });

    it('cost with the regulator what its Riccati equation says', () => {
      const path = optimalPath(1, 1000);
      const { x, v } = path.at(-1)!;
      const running = path.map(({ x, v, u }) => x * x + v * v + cost.effort * u * u);
      const simpson =
        running.reduce((sum, f, i) => sum + f * (i % 1000 === 0 ? 1 : i % 2 === 0 ? 2 : 4), 0) / 3000;
      expect(simpson + cost.rest * (x * x + v * v)).to.be.closeTo(optimalCost(1), 1e-8);
    });

    it('are controlled by the linear feedback of the closed form at the cost of the closed form', () => {
      const [p11, p12, p22] = algebraicRiccati();
      const feedback = (y: tf.Tensor2D) =>
        tf.matMul<tf.Tensor2D>(y, tf.tensor2d([-p12 / cost.effort, -p22 / cost.effort], [2, 1]));
      const horizon = { T: 10, stepSize: 0.05, method: 'rk4_classic' } as const;
      const simulated = tf.tidy(() => simulatedCost(feedback, horizon).dataSync()[0]);
      expect(simulated).to.be.closeTo(p11, 1e-4);
    });

    it('have a network that learns: its cost falls, and stays above the optimum', () => {
      const controller = new Controller({ T: 10, stepSize: 0.25, method: 'rk4_classic' });
      const before = controller.cost();
      controller.train(40, () => 0.02);
      const after = controller.cost();
      controller.dispose();
      expect(after).to.be.above(optimalCost(10));
      expect(after / optimalCost(10)).to.be.below(1.05);
      expect(before / optimalCost(10)).to.be.above(1.3);
    });
  });

  describe('a rigid body', () => {
    it('keeps force and torque on the tape: every node has its gradient, the same by the adjoint', () => {
      const programme = new Programme();
      const [tape, adjoint] = [programme.gradientOfEnd('tape'), programme.gradientOfEnd('adjoint')];
      programme.dispose();
      expect(tape).to.have.length(3 * (task.nodes + 1));
      tape.slice(0, -3).forEach((slope, i) => {
        expect(Math.abs(slope), `node ${i}`).to.be.above(1e-4);
        expect(adjoint[i]).to.be.closeTo(slope, 1e-4);
      });
    });

    it('goes by the programme of least effort in closed form to the target', () => {
      const { x, y, angle } = task.target;
      const fall = (t: number, [, , a, vx, vy, spin]: Float64Array) => {
        const [forward, left, torque] = optimal(t).input;
        const [fx, fy] = [
          Math.cos(a) * forward - Math.sin(a) * left,
          Math.sin(a) * forward + Math.cos(a) * left,
        ];
        return [vx, vy, spin, fx, fy, torque / 0.1, forward ** 2 + left ** 2 + torque ** 2 / 0.1];
      };
      const end = odeint(fall, new Float64Array(7), [0, task.T])[1];
      [x, y, angle, 0, 0, 0, leastEffort()].forEach((exact, i) => expect(end[i]).to.be.closeTo(exact, 1e-6));
    });

    it('learns to reach it', () => {
      const programme = new Programme();
      programme.learn(3, 15);
      const { miss, effort } = programme.evaluate();
      programme.dispose();
      expect(Math.hypot(...miss)).to.be.below(0.3);
      expect(effort / leastEffort()).to.be.within(0.7, 1.3);
    });
  });
});
