/**
 * Order conditions of Runge-Kutta methods by rooted trees: a method has order p when
 * `sum_i b_i Phi_i(tree) = 1 / gamma(tree)` for every tree of at most p vertices
 * (Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, section II.2).
 */

/** A rooted tree: its subtrees, its number of vertices, and its density gamma. */
export interface Tree {
  readonly children: readonly Tree[];
  readonly order: number;
  readonly density: number;
}

const byOrder: Tree[][] = [[], [{ children: [], order: 1, density: 1 }]];

/** The rooted trees with exactly `order` vertices (1, 1, 2, 4, 9, 20, 48, 115 for orders 1 to 8). */
export function rootedTrees(order: number): readonly Tree[] {
  for (let n = byOrder.length; n <= order; n++) {
    const smaller = byOrder.flat();
    byOrder[n] = multisets(smaller, n - 1, smaller.length).map((children) => ({
      children,
      order: n,
      density: children.reduce((product, child) => product * child.density, n),
    }));
  }
  return byOrder[order];
}

/* Multisets of the first `limit` trees with `total` vertices together. */
function multisets(trees: readonly Tree[], total: number, limit: number): Tree[][] {
  if (total === 0) return [[]];
  const found: Tree[][] = [];
  for (let i = 0; i < limit; i++) {
    if (trees[i].order > total) continue;
    for (const rest of multisets(trees, total - trees[i].order, i + 1)) found.push([trees[i], ...rest]);
  }
  return found;
}

/**
 * The largest residual `|sum_i b_i Phi_i - theta^r / gamma|` over the trees of r = 1..order vertices.
 * @param a Rows of the tableau, shorter rows are padded with zeros.
 * @param b Weights; for a continuous extension, its weights at `theta`.
 */
export function orderResidual(
  a: readonly (readonly number[])[],
  b: readonly number[],
  order: number,
  theta = 1,
): number {
  const cache = new Map<Tree, number[]>();
  const weights = (tree: Tree): number[] => {
    const known = cache.get(tree);
    if (known) return known;
    const phi = b.map((_, i) =>
      tree.children.reduce((product, child) => {
        const below = weights(child);
        return product * (a[i] ?? []).reduce((sum, aij, j) => sum + aij * below[j], 0);
      }, 1),
    );
    cache.set(tree, phi);
    return phi;
  };
  let worst = 0;
  for (let n = 1; n <= order; n++) {
    for (const tree of rootedTrees(n)) {
      const phi = weights(tree);
      const sum = b.reduce((total, bi, i) => total + bi * phi[i], 0);
      worst = Math.max(worst, Math.abs(sum - theta ** n / tree.density));
    }
  }
  return worst;
}
