/** Numbers on a grid as a picture in a data URI, which an SVG can hold: thousands of rectangles would make it large. */
import { deflateSync } from 'node:zlib';
import { bytes, chunk, signature } from './png.js';

/** Red, green and blue from 0 to 255. */
export type Colour = readonly [number, number, number];

/** Rows from the top; every number a square of `zoom` pixels, so that a viewer does not blur it. */
export function pixels(
  values: ArrayLike<number>,
  width: number,
  color: (value: number) => Colour,
  zoom: number,
): string {
  const [columns, rows] = [width * zoom, (values.length / width) * zoom];
  const raw = Buffer.alloc(rows * (3 * columns + 1)); // each row begins with its filter, 0: none
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < columns; x++) {
      const [r, g, b] = color(values[Math.floor(y / zoom) * width + Math.floor(x / zoom)]);
      raw.set([r, g, b], y * (3 * columns + 1) + 1 + 3 * x);
    }
  // 8 bits each of red, green and blue
  const header = chunk('IHDR', bytes(columns, rows), [8, 2, 0, 0, 0]);
  const image = [signature, header, chunk('IDAT', deflateSync(raw, { level: 9 })), chunk('IEND')];
  return `data:image/png;base64,${Buffer.concat(image).toString('base64')}`;
}

/** Colours at equal distances from 0 to 1, and between them a straight line. */
export function ramp(stops: readonly Colour[]): (value: number) => Colour {
  return (value) => {
    const at = Math.min(1, Math.max(0, value)) * (stops.length - 1);
    const i = Math.min(stops.length - 2, Math.floor(at));
    const mix = (j: number) => Math.round(stops[i][j] + (at - i) * (stops[i + 1][j] - stops[i][j]));
    return [mix(0), mix(1), mix(2)];
  };
}
