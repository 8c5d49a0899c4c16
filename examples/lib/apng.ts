/** Animated pictures of pixels with up to 256 colours. */
import { deflateSync } from 'node:zlib';
import type { Colour } from './pixels.js';
import { bytes, chunk, signature } from './png.js';

/** Indices into `palette`, row after row. */
export type Frame = Uint8Array;

export interface Pixels {
  width: number;
  height: number;
  palette: readonly Colour[];
}

/**
 * An animated PNG that repeats for ever, as browsers show it; other programs show the first frame. Source: PNG, third
 * edition, https://www.w3.org/TR/png-3/.
 * @param seconds How long each frame stays.
 */
export function animatedPng(frames: readonly Frame[], pixels: Pixels, seconds: readonly number[]): Buffer {
  const { width, height, palette } = pixels;
  const header = chunk('IHDR', bytes(width, height), [8, 3, 0, 0, 0]);
  const parts = [signature, header, chunk('acTL', bytes(frames.length, 0)), chunk('PLTE', palette.flat())];
  let sequence = 0;
  frames.forEach((frame, i) => {
    const delay = Math.round(1000 * seconds[i]);
    const duration = [delay, 1000].flatMap((x) => [x >> 8, x & 255]);
    parts.push(chunk('fcTL', bytes(sequence++, width, height, 0, 0), duration, [0, 0]));
    const data = deflateSync(lines(frame, pixels), { level: 9 });
    parts.push(i === 0 ? chunk('IDAT', data) : chunk('fdAT', bytes(sequence++), data));
  });
  return Buffer.concat([...parts, chunk('IEND')]);
}

/** Every line begins with the number of its filter: none, which suits palettes. */
function lines(frame: Frame, { width, height }: Pixels): Buffer {
  const data = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) data.set(frame.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  return data;
}
