/** Numbers on a grid as a picture in a data URI, which an SVG can hold: thousands of rectangles would make it large. */
import { deflateSync } from 'node:zlib';

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
  const header = Buffer.alloc(13);
  header.writeUInt32BE(columns, 0);
  header.writeUInt32BE(rows, 4);
  header.set([8, 2, 0, 0, 0], 8); // 8 bits, red green blue
  const chunks = [chunk('IHDR', header), chunk('IDAT', deflateSync(raw, { level: 9 })), chunk('IEND')];
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return `data:image/png;base64,${Buffer.concat([signature, ...chunks]).toString('base64')}`;
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

function chunk(type: string, data: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(body.length + 8);
  frame.writeUInt32BE(data.length, 0);
  body.copy(frame, 4);
  frame.writeUInt32BE(crc32(body), body.length + 4);
  return frame;
}

/** The checksum of PNG, bit by bit: https://www.w3.org/TR/png-3/#5CRC-algorithm. */
function crc32(data: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
