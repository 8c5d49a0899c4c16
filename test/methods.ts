import { methodNames, type MethodName } from 'tfjs-diffeq';

/** The methods for every kind of problem: leapfrog solves separable systems only (reversible.test.ts). */
export const generalMethods: readonly MethodName[] = methodNames.filter((name) => name !== 'leapfrog');

/** The explicit Runge-Kutta methods. */
export const rungeKuttaMethods: readonly MethodName[] = generalMethods.filter(
  (name) => name !== 'reversible_heun',
);
