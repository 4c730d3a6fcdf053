import { createHash } from 'node:crypto';

/**
 * SHA-256 over the canonical JSON of rows, one a line, in their order: 64 hexadecimal digits. Equal rows give
 * equal digests however they were stored and whatever the order of their keys.
 */
export function dataDigest(rows: Iterable<unknown>): string {
  const hash = createHash('sha256');
  for (const row of rows) hash.update(`${canonicalJson(row)}\n`);
  return hash.digest('hex');
}

/** The JSON text of a value with the keys of every object in order of their UTF-16 code units. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) => {
    if (typeof member !== 'object' || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
