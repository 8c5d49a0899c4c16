import { ButcherTableau } from './tableau.js';

/**
 * Euler's method: order 1, one stage.
 *
 * Source: Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, section II.1, https://doi.org/10.1007/978-3-540-78862-1.
 */
export const euler = /* @__PURE__ */ new ButcherTableau({
  name: 'euler',
  order: 1,
  c: [0],
  a: [[]],
  b: [1],
});

/**
 * The explicit midpoint rule (Runge 1895): order 2, two stages.
 *
 * Source: Runge, https://doi.org/10.1007/BF01446807.
 */
export const midpoint = /* @__PURE__ */ new ButcherTableau({
  name: 'midpoint',
  order: 2,
  c: [0, 1 / 2],
  a: [[], [1 / 2]],
  b: [0, 1],
});

/**
 * The explicit trapezoidal rule, also called Heun's method: order 2, two stages.
 *
 * Source: Runge, https://doi.org/10.1007/BF01446807.
 */
export const heun2 = /* @__PURE__ */ new ButcherTableau({
  name: 'heun2',
  order: 2,
  c: [0, 1],
  a: [[], [1]],
  b: [1 / 2, 1 / 2],
});

/**
 * Heun's method of order 3 with three stages.
 *
 * Source: Heun 1900; Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, table II.1.1, https://doi.org/10.1007/978-3-540-78862-1.
 */
export const heun3 = /* @__PURE__ */ new ButcherTableau({
  name: 'heun3',
  order: 3,
  c: [0, 1 / 3, 2 / 3],
  // prettier-ignore
  a: [
    [],
    [1 / 3],
    [0,     2 / 3],
  ],
  b: [1 / 4, 0, 3 / 4],
});

/**
 * The Heun-Euler pair 2(1) with two stages: {@link heun2} with Euler's method embedded.
 * The last stage is not the first of the next step, because the propagated solution is not the one stage 2 sees.
 *
 * Source: Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, section II.4, https://doi.org/10.1007/978-3-540-78862-1.
 */
export const adaptiveHeun = /* @__PURE__ */ new ButcherTableau({
  name: 'adaptive_heun',
  order: 2,
  embeddedOrder: 1,
  c: [0, 1],
  a: [[], [1]],
  b: [1 / 2, 1 / 2],
  bEmbedded: [1, 0],
});

/**
 * Fehlberg's pair RK1(2) with three stages, propagating its second-order solution.
 * The last stage is f at the first-order solution, so it could be reused only if that one were propagated, as Fehlberg did.
 *
 * Source: Fehlberg, NASA TR R-315 (1969), https://ntrs.nasa.gov/citations/19690021375.
 */
export const fehlberg2 = /* @__PURE__ */ new ButcherTableau({
  name: 'fehlberg2',
  order: 2,
  embeddedOrder: 1,
  c: [0, 1 / 2, 1],
  // prettier-ignore
  a: [
    [],
    [1 / 2],
    [1 / 256, 255 / 256],
  ],
  b: [1 / 512, 255 / 256, 1 / 512],
  bEmbedded: [1 / 256, 255 / 256, 0],
});
