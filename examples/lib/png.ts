/** What PNG files are made of. Source: third edition, https://www.w3.org/TR/png-3/. */

export const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Whole numbers as four bytes each, the highest first. */
export const bytes = (...values: number[]): number[] =>
  values.flatMap((x) => [x >>> 24, (x >>> 16) & 255, (x >>> 8) & 255, x & 255]);

export function chunk(type: string, ...data: (readonly number[] | Buffer)[]): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), ...data.map((part) => Buffer.from(part))]);
  return Buffer.concat([Buffer.from(bytes(body.length - 4)), body, Buffer.from(bytes(crc32(body)))]);
}

/** The checksum of a single byte, for all 256. */
const table = Uint32Array.from({ length: 256 }, (_, crc) => {
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** The standard's annex D; the one of node:zlib came with Node 20.15 only. */
export function crc32(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
