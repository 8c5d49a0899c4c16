/**
 * Every tableau is what it says: its weights, its embedded weights and its interpolant have the orders they claim and
 * no higher ones. The rooted trees are made here by another construction than the library's, and coefficients are
 * summed in 200-bit fixed point, so that a residual is that of the coefficients and not of the summation.
 */
import { expect } from 'chai';
import { InvalidArgumentError, solve, type MethodName } from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { ButcherTableau, orderResidual, rootedTrees, type TableauData } from 'tfjs-diffeq/solvers';
import { rungeKuttaMethods } from './methods.js';

const tableaus = Object.values(solvers).filter((value) => value instanceof ButcherTableau);

/* A rooted tree is the list of its vertices' parents, the root first; trees grow by a leaf at every vertex in turn. */
interface Tree {
  children: Tree[];
  order: number;
  density: number;
}

const canonical = (tree: Tree): string => `(${tree.children.map(canonical).sort().join('')})`;

function build(parents: readonly number[]): Tree {
  const childrenOf = (vertex: number): Tree[] =>
    parents.flatMap((parent, child) => (parent === vertex ? [subtree(child)] : []));
  const subtree = (vertex: number): Tree => {
    const children = childrenOf(vertex);
    const order = children.reduce((sum, child) => sum + child.order, 1);
    return { children, order, density: children.reduce((product, child) => product * child.density, order) };
  };
  return subtree(0);
}

function treesUpTo(order: number): Tree[][] {
  let parentLists = [[-1]];
  const all: Tree[][] = [[], parentLists.map(build)];
  for (let n = 2; n <= order; n++) {
    const distinct = new Map<string, number[]>();
    for (const parents of parentLists) {
      parents.forEach((_, vertex) => {
        const grown = [...parents, vertex];
        const name = canonical(build(grown));
        if (!distinct.has(name)) distinct.set(name, grown);
      });
    }
    parentLists = [...distinct.values()];
    all.push(parentLists.map(build));
  }
  return all;
}

const trees = treesUpTo(9);

/* Fixed point with 200 fractional bits; a float64 above 1e-30 in size converts exactly. */
const bits = 200n;
const one = 1n << bits;
const exact = (x: number): bigint => BigInt(x * 2 ** 160) << (bits - 160n);
const times = (a: bigint, b: bigint): bigint => (a * b) >> bits;
const toNumber = (a: bigint): number => Number(a) / 2 ** Number(bits);
const dot = (weights: readonly bigint[], phi: readonly bigint[]): bigint =>
  weights.reduce((sum, weight, i) => sum + times(weight, phi[i]), 0n);

/** `Phi_i` of every stage: the product over the children of `sum_j a_ij Phi_j(child)`. */
function elementaryWeights(a: readonly (readonly bigint[])[], tree: Tree): bigint[] {
  const below = tree.children.map((child) => elementaryWeights(a, child));
  return a.map((row) => below.reduce((product, phi) => times(product, dot(row, phi)), one));
}

/** The largest `|sum_i b_i Phi_i - theta^n / gamma|` over the trees of exactly n vertices. */
function residual(
  a: readonly (readonly number[])[],
  b: readonly bigint[],
  n: number,
  theta: bigint = one,
): number {
  const rows = a.map((row) => row.map(exact));
  const power = Array.from({ length: n }).reduce<bigint>((product) => times(product, theta), one);
  const residuals = trees[n].map((tree) => {
    const wanted = power / BigInt(tree.density);
    return Math.abs(toNumber(dot(b, elementaryWeights(rows, tree)) - wanted));
  });
  return Math.max(...residuals);
}

const worstUpTo = (order: number, of: (n: number) => number): number =>
  Math.max(...Array.from({ length: order }, (_, i) => of(i + 1)));

/** The stages an interpolant refers to: those of the step, `f(t1, y1)`, and further ones. */
const stagesOfInterpolant = (tableau: ButcherTableau): (readonly number[])[] => [
  ...tableau.a,
  ...(tableau.fsal ? [] : [tableau.b]),
  ...tableau.denseStages.a,
];

/** What rounding the coefficients of `b_i(theta)` to float64 can do to `b_i` and `b_i'` at most, for theta up to 1. */
const rounding = (row: readonly number[]): number =>
  row.reduce((sum, p, d) => sum + (d + 1) * Math.abs(p) * 2 ** -53, 0);

/** `b_i(theta) = sum_d p_id theta^(d + 1)`. */
const continuousWeights = (tableau: ButcherTableau, theta: bigint): bigint[] =>
  tableau.interpolant.map((row) => row.reduceRight((sum, p) => times(sum + exact(p), theta), 0n));

describe('tableaus', () => {
  it('are all registered under their names', () => {
    expect(tableaus.map((tableau) => tableau.name)).to.have.members(rungeKuttaMethods);
  });

  for (const tableau of tableaus) {
    const { name, a, b, c, order, bEmbedded, embeddedOrder, interpolantOrder } = tableau;
    describe(`${name}, order ${order}${bEmbedded ? `(${embeddedOrder})` : ''}`, () => {
      it('has rows that add up to its nodes', () => {
        const rows = [...a, ...tableau.denseStages.a];
        const nodes = [...c, ...tableau.denseStages.c];
        expect(nodes).to.have.lengthOf(rows.length);
        rows.forEach((row, i) => {
          const total = row.reduce((sum, value) => sum + exact(value), 0n);
          expect(toNumber(total - exact(nodes[i]))).to.be.closeTo(0, 1e-14);
        });
      });

      it('fulfils the order conditions of b to 1e-14', () => {
        expect(worstUpTo(order, (n) => residual(a, b.map(exact), n))).to.be.below(1e-14);
      });

      it(`is not of order ${order + 1}`, () => {
        expect(residual(a, b.map(exact), order + 1)).to.be.above(1e-6);
      });

      if (bEmbedded && embeddedOrder) {
        it('fulfils the order conditions of bEmbedded to 1e-14', () => {
          expect(worstUpTo(embeddedOrder, (n) => residual(a, bEmbedded.map(exact), n))).to.be.below(1e-14);
        });

        it(`has embedded weights that are not of order ${embeddedOrder + 1}`, () => {
          expect(residual(a, bEmbedded.map(exact), embeddedOrder + 1)).to.be.above(1e-6);
        });
      }

      it(`has an interpolant of order ${interpolantOrder} at every theta`, () => {
        const stages = stagesOfInterpolant(tableau);
        const bound = 1e-14 + tableau.interpolant.reduce((sum, row) => sum + rounding(row), 0);
        for (const theta of [0.125, 0.3, 0.5, 0.8125, 1].map(exact)) {
          const weights = continuousWeights(tableau, theta);
          expect(worstUpTo(interpolantOrder, (n) => residual(stages, weights, n, theta))).to.be.below(bound);
        }
      });

      it(`has an interpolant that is not of order ${interpolantOrder + 1}`, () => {
        const theta = exact(0.3);
        const weights = continuousWeights(tableau, theta);
        expect(residual(stagesOfInterpolant(tableau), weights, interpolantOrder + 1, theta)).to.be.above(
          1e-6,
        );
      });

      it('has an interpolant within one order of the method, so that dense output converges like the steps', () => {
        expect(interpolantOrder).to.be.within(order - 1, order);
      });

      it('has an interpolant that meets its neighbour with value and slope', () => {
        const { interpolant, stages } = tableau;
        const slopeAt1 = interpolant.map((row) =>
          row.reduce((sum, p, d) => sum + exact(p) * BigInt(d + 1), 0n),
        );
        const last = tableau.fsal ? stages - 1 : stages; // the row of f(t1, y1)
        continuousWeights(tableau, one).forEach((weight, i) => {
          const bound = 1e-15 + rounding(interpolant[i]);
          expect(toNumber(weight - exact(b[i] ?? 0)), `b_${i}(1)`).to.be.closeTo(0, bound);
          expect(interpolant[i][0], `b_${i}'(0)`).to.equal(i === 0 ? 1 : 0);
          expect(toNumber(slopeAt1[i]), `b_${i}'(1)`).to.be.closeTo(i === last ? 1 : 0, bound);
        });
      });
    });
  }
});

describe('error estimates', () => {
  // b - bEmbedded as printed; a multiple of it would fulfil the same order conditions.
  const printed: [source: string, name: string, weights: number[]][] = [
    ['Heun and Euler', 'adaptive_heun', [-1 / 2, 1 / 2]],
    ['Fehlberg 1969, NASA TR R-315', 'fehlberg2', [-1 / 512, 0, 1 / 512]],
    ['Bogacki & Shampine 1989', 'bosh3', [-5 / 72, 1 / 12, 1 / 9, -1 / 8]],
    [
      'torchdiffeq 0.2.5, after Shampine 1986',
      'dopri5',
      [
        ...[35 / 384 - 1951 / 21600, 0, 500 / 1113 - 22642 / 50085, 125 / 192 - 451 / 720],
        ...[-2187 / 6784 + 12231 / 42400, 11 / 84 - 649 / 6300, -1 / 60],
      ],
    ],
    [
      'Tsitouras 2011, table 1',
      'tsit5',
      [
        ...[0.0017800110522257771, 0.0008164344596567469, -0.007880878010261995, 0.1447110071732629],
        ...[-0.5823571654525552, 0.45808210592918697, -1 / 66],
      ],
    ],
  ];

  for (const [source, name, weights] of printed) {
    it(`of ${name} are those of ${source}`, () => {
      const { b, bEmbedded } = tableaus.find((tableau) => tableau.name === name)!;
      weights.forEach((weight, i) => expect(b[i] - bEmbedded![i]).to.be.closeTo(weight, 1e-15));
    });
  }
});

describe('rooted trees', () => {
  it('number 1, 1, 2, 4, 9, 20, 48, 115, 286 up to order 9 (Hairer, Nørsett & Wanner I, table II.2.1)', () => {
    const counts = [1, 1, 2, 4, 9, 20, 48, 115, 286];
    expect(trees.slice(1).map((list) => list.length)).to.deep.equal(counts);
    expect(counts.map((_, i) => rootedTrees(i + 1).length)).to.deep.equal(counts);
  });

  it('give the printed conditions up to order 4 (Hairer, Nørsett & Wanner I, table II.2.1)', () => {
    // With c_i = sum_j a_ij: sum b = 1, sum b c = 1/2, sum b c^2 = 1/3, sum b a c = 1/6, sum b c^3 = 1/4,
    // sum b c a c = 1/8, sum b a c^2 = 1/12, sum b a a c = 1/24.
    expect(trees.slice(1, 5).flatMap((list) => list.map((tree) => tree.density))).to.have.members([
      1, 2, 3, 6, 4, 8, 12, 24,
    ]);
    const { a, b, c } = solvers.rk4;
    const ac = a.map((row) => row.reduce((sum, value, j) => sum + value * c[j], 0));
    const sum = (terms: (i: number) => number) =>
      b.reduce((total, weight, i) => total + weight * terms(i), 0);
    expect(sum((i) => c[i] ** 3)).to.be.closeTo(1 / 4, 1e-15);
    expect(sum((i) => c[i] * ac[i])).to.be.closeTo(1 / 8, 1e-15);
  });

  it('give the same residual in the library, up to the rounding of its sums', () => {
    const { a, b } = solvers.heun3;
    const missed = residual(a, b.map(exact), 4); // of order 3: some condition of order 4 fails
    expect(orderResidual(a, b, 4)).to.be.closeTo(missed, 1e-15);
  });
});

describe('first same as last', () => {
  it('is found in bosh3, dopri5 and tsit5, and nowhere else', () => {
    const found = tableaus.filter((tableau) => tableau.fsal).map((tableau) => tableau.name);
    expect(found).to.have.members(['bosh3', 'dopri5', 'tsit5']);
  });

  for (const { name, stages, fsal } of tableaus) {
    it(`${name} evaluates func ${fsal ? stages - 1 : stages} times per step`, () => {
      const { stats } = solve((t, y) => [Math.cos(t) * y[0]], [1], [0, 1], {
        method: name as MethodName,
        stepSize: 0.125,
      });
      expect(stats.nfe).to.equal(fsal ? 8 * (stages - 1) + 1 : 8 * stages);
    });
  }
});

describe('a wrong tableau throws when it is built', () => {
  const right: TableauData = {
    name: 'mine',
    order: 3,
    embeddedOrder: 2,
    c: [0, 1 / 2, 3 / 4, 1],
    a: [[], [1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]],
    b: [2 / 9, 1 / 3, 4 / 9, 0],
    bEmbedded: [7 / 24, 1 / 4, 1 / 3, 1 / 8],
  };
  const wrong: [what: string, change: Partial<TableauData>, message: RegExp][] = [
    ['no stages', { c: [], a: [], b: [], bEmbedded: undefined }, /c is empty/],
    ['a missing row', { a: right.a.slice(0, 3) }, /a has 3 rows; expected 4/],
    [
      'a row that is too long',
      { a: [[], [1 / 2], [0, 3 / 4, 0], [2 / 9, 1 / 3, 4 / 9]] },
      /row 2 of a has 3/,
    ],
    [
      'a row that misses its node',
      { c: [0, 1 / 2, 2 / 3, 1] },
      /row 2 of a adds up to 0\.75; expected its node 0\.66/,
    ],
    ['a first node that is not 0', { c: [1 / 4, 1 / 2, 3 / 4, 1] }, /c\[0\] is 0\.25/],
    [
      'a coefficient that is NaN',
      { a: [[], [1 / 2], [0, 3 / 4], [NaN, 1 / 3, 4 / 9]] },
      /row 3 of a adds up to NaN/,
    ],
    ['too few weights', { b: [1 / 3, 1 / 3, 1 / 3] }, /b has 3 weights; expected 4/],
    ['embedded weights that are no other', { bEmbedded: right.b }, /bEmbedded equals b/],
    ['too many embedded weights', { bEmbedded: [1, 0, 0, 0, 0] }, /bEmbedded has 5 weights; expected 4/],
    ['embedded weights without their order', { embeddedOrder: undefined }, /bEmbedded needs embeddedOrder/],
    ['an order that is too high', { order: 4 }, /b misses the conditions of order 4.*claim a lower order/],
    ['no order', { order: undefined }, /order is undefined/],
    ['an order that is no integer', { order: 2.5 }, /order is 2\.5/],
    ['a mistyped weight', { b: [2 / 9, 1 / 3, 5 / 9, 0] }, /b misses the conditions of order 3 by 1\.1e-1/],
    [
      'an embedded order that is too high',
      { embeddedOrder: 3 },
      /bEmbedded misses the conditions of order 3/,
    ],
    ['an interpolant without its order', { interpolant: right.b.map((w) => [w]) }, /needs interpolantOrder/],
    [
      'an interpolant of a lower order',
      { interpolant: right.b.map((w) => [w]), interpolantOrder: 2 },
      /interpolant misses the conditions of order 2/,
    ],
    [
      'an interpolant with rows for stages that are not there',
      { interpolant: [...right.b, 0].map((w) => [w]), interpolantOrder: 1 },
      /interpolant has 5 rows; expected 4/,
    ],
  ];

  it('while the right one does not', () => {
    expect(new ButcherTableau(right)).to.include({ stages: 4, fsal: true, embeddedOrder: 2 });
  });

  for (const [what, change, message] of wrong) {
    it(`with ${what}`, () => {
      expect(() => new ButcherTableau({ ...right, ...change }))
        .to.throw(InvalidArgumentError, message)
        .with.property('message')
        .that.includes("'mine'");
    });
  }
});
