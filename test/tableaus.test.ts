/**
 * Every tableau is what it says: its weights, its embedded weights and its interpolant have the orders they claim and
 * no higher ones. The rooted trees are made here by another construction than the library's, and coefficients are
 * summed in 200-bit fixed point, so that a residual is that of the coefficients and not of the summation.
 */
import { expect } from 'chai';
import { InvalidArgumentError, methodNames, solve } from 'tfjs-diffeq';
import * as solvers from 'tfjs-diffeq/solvers';
import { ButcherTableau, orderResidual, rootedTrees, type TableauData } from 'tfjs-diffeq/solvers';

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

/** `b_i(theta) = sum_d p_id theta^(d + 1)`. */
const continuousWeights = (tableau: ButcherTableau, theta: bigint): bigint[] =>
  tableau.interpolant.map((row) => row.reduceRight((sum, p) => times(sum + exact(p), theta), 0n));

describe('tableaus', () => {
  it('are all registered under their names', () => {
    expect(tableaus.map((tableau) => tableau.name)).to.have.members(methodNames);
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
        for (const theta of [0.125, 0.3, 0.5, 0.8125, 1].map(exact)) {
          const weights = continuousWeights(tableau, theta);
          const worst = worstUpTo(interpolantOrder, (n) => residual(stages, weights, n, theta));
          expect(worst).to.be.below(1e-13);
        }
      });

      it('has an interpolant within one order of the method, so that dense output converges like the steps', () => {
        expect(interpolantOrder).to.be.within(order - 1, order);
      });

      it('has an interpolant that meets its neighbour with value and slope', () => {
        const { interpolant, stages } = tableau;
        const slopeAt1 = interpolant.map((row) => row.reduce((sum, p, d) => sum + exact(p) * BigInt(d + 1), 0n));
        const last = tableau.fsal ? stages - 1 : stages; // the row of f(t1, y1)
        continuousWeights(tableau, one).forEach((weight, i) => {
          expect(toNumber(weight - exact(b[i] ?? 0)), `b_${i}(1)`).to.be.closeTo(0, 1e-12);
          expect(interpolant[i][0], `b_${i}'(0)`).to.equal(i === 0 ? 1 : 0);
          expect(toNumber(slopeAt1[i]), `b_${i}'(1)`).to.be.closeTo(i === last ? 1 : 0, 1e-12);
        });
      });
    });
  }
});
