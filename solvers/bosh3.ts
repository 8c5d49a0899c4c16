import { ButcherTableau } from './tableau.js';

/**
 * The Bogacki-Shampine pair 3(2): order 3, four stages, the last of which is the first of the next step.
 *
 * Source: Bogacki & Shampine 1989, https://doi.org/10.1016/0893-9659(89)90079-7.
 */
export const bosh3 = /* @__PURE__ */ new ButcherTableau({
  name: 'bosh3',
  order: 3,
  embeddedOrder: 2,
  c: [0, 1 / 2, 3 / 4, 1],
  // prettier-ignore
  a: [
    [],
    [1 / 2],
    [0,     3 / 4],
    [2 / 9, 1 / 3, 4 / 9],
  ],
  b: [2 / 9, 1 / 3, 4 / 9, 0],
  bEmbedded: [7 / 24, 1 / 4, 1 / 3, 1 / 8],
});
