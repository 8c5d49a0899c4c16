/** Limits of conjugate gradients. */
export interface ConjugateGradientOptions {
  /** Products with the matrix, at most; 2 n + 10 by default. */
  maxIterations?: number;
  /** Of the residual, relative to that of 0; 1e-6 by default. */
  tolerance?: number;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0);

/**
 * Solves `A x = b` for a symmetric positive definite matrix that is known by its products.
 *
 * Source: Hestenes and Stiefel, https://doi.org/10.6028/jres.049.044.
 * @returns `null` when a direction has no positive curvature, so that `A` is not positive definite. `residual` is what is left
 * of that of 0.
 */
export function conjugateGradient(
  product: (v: Float64Array) => Float64Array,
  b: Float64Array,
  { maxIterations = 2 * b.length + 10, tolerance = 1e-6 }: ConjugateGradientOptions,
): { x: Float64Array; residual: number } | null {
  const x = new Float64Array(b.length);
  const residual = b.slice();
  const direction = b.slice();
  let square = dot(residual, residual);
  const first = square;
  const goal = tolerance ** 2 * first;
  for (let k = 0; k < maxIterations && square > goal; k++) {
    const image = product(direction);
    const curvature = dot(direction, image);
    if (!(curvature > 0)) return null;
    const step = square / curvature;
    for (let i = 0; i < x.length; i++) {
      x[i] += step * direction[i];
      residual[i] -= step * image[i];
    }
    const next = dot(residual, residual);
    for (let i = 0; i < x.length; i++) direction[i] = residual[i] + (next / square) * direction[i];
    square = next;
  }
  return { x, residual: first > 0 ? Math.sqrt(square / first) : 0 };
}
