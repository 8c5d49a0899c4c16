/* eslint-disable no-loss-of-precision -- twenty digits, so that the table can be checked beyond float64 */
import { ButcherTableau } from './tableau.js';

/**
 * Tsitouras' pair 5(4): order 5, seven stages, the last of which is the first of the next step.
 * The order-5 solution is propagated; the interpolant is Tsitouras' own C1 quartic of order 4.
 *
 * Source: Tsitouras 2011, https://doi.org/10.1016/j.camwa.2011.06.002. The paper prints 16 digits;
 * those below continue them so that its order conditions hold to 20. One entry, a_40 = 5.3258648284392566044, is written
 * as the float64 below the nearest: the row then adds up to its node, and the float64 table fulfils its order conditions to
 * 1e-15 instead of 1e-14.
 */
export const tsit5 = /* @__PURE__ */ new ButcherTableau({
  name: 'tsit5',
  order: 5,
  embeddedOrder: 4,
  c: [0, 161 / 1000, 327 / 1000, 9 / 10, 0.98002554090450968573, 1, 1],
  // prettier-ignore
  a: [
    [],
    [               161 / 1000],
    [-0.0084806554923569885444, 0.33548065549235698854],
    [    2.8971530571054934321, -6.3594484899750748431,   4.362295432869581411],
    [        5.325864828439256, -11.748883564062827878,  7.4955393428898362083, -0.092495066361755249257],
    [    5.8614554429464200287, -12.920969317847109292,  8.1593678985761586432, -0.071584973281400997225, -0.028269050394068382909],
    [  0.096460766818065229518,                1 / 100, 0.47988965041449957478,    1.3790085741037418932,   -3.2900695154360806799, 2.3247105240997739824],
  ],
  // prettier-ignore
  b: [
    0.096460766818065229518, 1 / 100, 0.47988965041449957478,
    1.3790085741037418932, -3.2900695154360806799, 2.3247105240997739824, 0,
  ],
  // prettier-ignore
  bEmbedded: [
    0.094680755765839458075, 0.0091835655403432530968, 0.48777052842476157079,
    1.2342975669304789857, -2.7077123499835254549, 1.8666284181705870358, 1 / 66,
  ],
  interpolantOrder: 4,
  // prettier-ignore
  interpolant: [
    [1, -2.7637061972748258687,  2.9132554618219126554, -1.0530884977290215572],
    [0,           1317 / 10000,          -2234 / 10000,           1017 / 10000],
    [0,  3.9302962368947515174, -5.9410338721315047357,  2.4906272856512527931],
    [0, -12.411077166933677039,   30.33818863028232165, -16.548102889244902718],
    [0,  37.509313416511039179, -88.178904894766401078,  47.379521962819281219],
    [0, -27.896526289197287789,  65.091894674793671508, -34.870657861496609736],
    [0,                  3 / 2,                     -4,                  5 / 2],
  ],
});
