/** Pictures of pixels: a PNG of one frame, and an animated one of several, with up to 256 colours. */
import { crc32, deflateSync } from 'node:zlib';

/** Indices into `palette`, row after row. */
export type Frame = Uint8Array;

export interface Pixels {
  width: number;
  height: number;
  /** Red, green and blue, 0 to 255. */
  palette: readonly (readonly number[])[];
}

/**
 * An animated PNG that repeats for ever, as browsers show it; other programs show the first frame. Source: PNG, third
 * edition, https://www.w3.org/TR/png-3/.
 * @param seconds How long each frame stays.
 */
export function animatedPng(frames: readonly Frame[], pixels: Pixels, seconds: readonly number[]): Buffer {
  const { width, height, palette } = pixels;
  const animated = frames.length > 1;
  let sequence = 0;
  const parts = [chunk('IHDR', numbers(width, height), [8, 3, 0, 0, 0]), chunk('PLTE', palette.flat())];
  if (animated) parts.splice(1, 0, chunk('acTL', numbers(frames.length, 0)));
  frames.forEach((frame, i) => {
    if (animated) {
      const delay = Math.round(1000 * seconds[i]);
      const place = [
        ...numbers(sequence++, width, height, 0, 0),
        delay >> 8,
        delay & 255,
        1000 >> 8,
        1000 & 255,
      ];
      parts.push(chunk('fcTL', place, [0, 0]));
    }
    const data = deflateSync(lines(frame, pixels), { level: 9 });
    parts.push(i === 0 ? chunk('IDAT', data) : chunk('fdAT', numbers(sequence++), data));
  });
  return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), ...parts, chunk('IEND')]);
}

export const png = (frame: Frame, pixels: Pixels): Buffer => animatedPng([frame], pixels, []);

/** Every line begins with the number of its filter: none, which suits palettes. */
function lines(frame: Frame, { width, height }: Pixels): Buffer {
  const data = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) data.set(frame.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  return data;
}

const numbers = (...values: number[]) =>
  values.flatMap((x) => [x >>> 24, (x >>> 16) & 255, (x >>> 8) & 255, x & 255]);

function chunk(type: string, ...data: (readonly number[] | Buffer)[]): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), ...data.map((part) => Buffer.from(part))]);
  return Buffer.concat([Buffer.from(numbers(body.length - 4)), body, Buffer.from(numbers(crc32(body)))]);
}
