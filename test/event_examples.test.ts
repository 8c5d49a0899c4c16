/** The models of the examples with events, beside their closed forms, and one beside a least-squares fit by scipy. */
import * as tf from '@tensorflow/tfjs';
import { expect } from 'chai';
import { ball, bounce, energy, exactBounce, exactEnergy, zenoTime } from '../examples/lib/bouncing_ball.js';
import {
  concentration,
  drug,
  exponentials,
  regimen,
  rootsBetweenDoses,
  superposition,
  takeDoses,
  threshold,
  timeAbove,
} from '../examples/lib/dosing.js';
import { BouncingBall, guess, learn, loadPhysics, type Parameters } from '../examples/lib/learn_physics.js';
import { duty, exactDuty, exactSwitches, heat, room } from '../examples/lib/thermostat.js';

describe('the examples with events', () => {
  describe('a bouncing ball', () => {
    const run = bounce(ball, { t1: 5, maxEvents: 200, eventTol: 1e-15 });

    it('has the bounces of the closed form to 1e-12 s, until they cannot be told apart', () => {
      expect(run.eventTimes.length).to.be.greaterThan(130);
      run.eventTimes.forEach((t, n) => expect(t, `bounce ${n}`).to.be.closeTo(exactBounce(ball, n), 1e-12));
    });

    it('ends at the limit of the closed form, with the status max-events', () => {
      expect(run.status).to.equal('max-events');
      expect(run.message).to.include('pile up');
      expect(run.t[run.t.length - 1]).to.be.closeTo(zenoTime(ball), 1e-12);
    });

    it('loses its energy in the jumps only', () => {
      run.events.slice(0, 60).forEach(({ row }, n) => {
        expect(energy(ball, run.y[row]) / exactEnergy(ball, n), `before ${n}`).to.be.closeTo(1, 1e-8);
        expect(energy(ball, run.y[row + 1]) / exactEnergy(ball, n + 1), `after ${n}`).to.be.closeTo(1, 1e-8);
      });
    });
  });

  describe('a ball whose physics is learned', () => {
    const reference = loadPhysics();
    const names = ['gravity', 'absorption', 'speed'] as const;

    for (const gradient of ['tape', 'checkpoint'] as const) {
      it(`has the gradient of the closed form to 1e-5, by ${gradient}`, () => {
        const model = new BouncingBall(reference, guess, gradient);
        const actual = model.gradientOfLoss();
        for (const name of names)
          expect(actual[name] / reference.gradient_at_guess[name], name).to.be.closeTo(1, 1e-5);
        model.dispose();
      });
    }

    it('learns the least-squares estimate of scipy to a hundredth of its standard errors, and leaks nothing', () => {
      const before = tf.memory().numTensors;
      const model = new BouncingBall(reference);
      learn(model, 300);
      const away = (to: Parameters) =>
        names.map((name) => Math.abs(model.parameters[name] - to[name]) / reference.standard_errors[name]);
      expect(Math.max(...away(reference.fit))).to.be.below(0.01);
      expect(Math.max(...away(reference.true))).to.be.above(0.1); // the noise has moved it
      model.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  });

  describe('a thermostat', () => {
    it('switches at the times of the closed form to 1e-8 h', () => {
      const { events } = heat(room, 15, 12);
      const exact = exactSwitches(room, 15, events.length);
      expect(events.map(({ name }) => name)).to.deep.equal(exact.map((_, i) => (i % 2 === 0 ? 'off' : 'on')));
      expect(events).to.have.length(12);
      events.forEach(({ t }, i) => expect(t, `switch ${i}`).to.be.closeTo(exact[i], 1e-8));
    });

    it('has both sides of every switch, between which only the heater changes', () => {
      const { events, t, y } = heat(room, 15, 12);
      for (const { row } of events) {
        expect(t[row + 1]).to.equal(t[row]);
        expect(y[row + 1][0]).to.be.closeTo(y[row][0], 1e-8);
        expect(Math.abs(y[row + 1][1] - y[row][1])).to.equal(1);
      }
    });

    for (const outside of [-3.5, 5, 18.5]) {
      it(`has the duty cycle of the closed form to 1e-9 at ${outside} degrees outside`, () => {
        const other = { ...room, outside };
        expect(duty(heat(other, room.on, 60))).to.be.closeTo(exactDuty(other), 1e-9);
      });
    }
  });

  describe('repeated doses', () => {
    const t1 = 144;
    const saveAt = Array.from({ length: 287 }, (_, i) => (i + 1) / 2 + 0.1);
    const solution = takeDoses(
      drug,
      regimen,
      t1,
      saveAt.filter((t) => t < t1),
    );
    const exact = superposition(drug, regimen);
    const times = (name: string) => solution.events.filter((event) => event.name === name).map(({ t }) => t);

    it('have exponentials that begin at zero and hold the whole dose', () => {
      const terms = exponentials(drug);
      const sum = terms.reduce((total, { coefficient }) => total + coefficient, 0);
      const area = terms.reduce((total, { coefficient, rate }) => total + coefficient / rate, 0);
      expect(sum).to.be.closeTo(0, 1e-15);
      expect(area).to.be.closeTo(1 / drug.clearance, 1e-14); // of a dose of 1 mg
    });

    it('have the concentrations of their superposition to 1e-8 mg/l', () => {
      solution.t.forEach((t, i) =>
        expect(concentration(drug, solution.y[i]), `t = ${t}`).to.be.closeTo(exact.value(t), 1e-8),
      );
    });

    it('peak and cross the threshold when it does, to 1e-8 h', () => {
      const events = { peak: exact.slope, threshold: (t: number) => exact.value(t) - threshold };
      for (const [name, f] of Object.entries(events)) {
        const roots = rootsBetweenDoses(f, regimen, t1);
        const found = times(name);
        expect(found, name).to.have.length(roots.length);
        found.forEach((t, i) => expect(t, name).to.be.closeTo(roots[i], 1e-8));
      }
      const crossings = rootsBetweenDoses(events.threshold, regimen, t1);
      expect(crossings).to.have.length(18);
      expect(timeAbove(times('threshold'), t1)).to.be.closeTo(timeAbove(crossings, t1), 1e-7);
    });
  });
});
