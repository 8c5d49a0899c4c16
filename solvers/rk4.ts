import { ButcherTableau } from './tableau.js';

/**
 * Kutta's 3/8 rule: order 4, four stages. This is what torchdiffeq calls `rk4`; the classical method is {@link rk4Classic}.
 *
 * Source: Kutta 1901; Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, table II.1.2, https://doi.org/10.1007/978-3-540-78862-1.
 */
export const rk4 = /* @__PURE__ */ new ButcherTableau({
  name: 'rk4',
  order: 4,
  c: [0, 1 / 3, 2 / 3, 1],
  // prettier-ignore
  a: [
    [],
    [ 1 / 3],
    [-1 / 3,  1],
    [ 1,     -1, 1],
  ],
  b: [1 / 8, 3 / 8, 3 / 8, 1 / 8],
});

/**
 * The classical Runge-Kutta method: order 4, four stages.
 *
 * Source: Kutta 1901; Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, table II.1.2, https://doi.org/10.1007/978-3-540-78862-1.
 */
export const rk4Classic = /* @__PURE__ */ new ButcherTableau({
  name: 'rk4_classic',
  order: 4,
  c: [0, 1 / 2, 1 / 2, 1],
  // prettier-ignore
  a: [
    [],
    [1 / 2],
    [0,     1 / 2],
    [0,     0,     1],
  ],
  b: [1 / 6, 1 / 3, 1 / 3, 1 / 6],
});
