import { createHash } from 'node:crypto';
import { canonicalJson } from '../canonical-json.ts';

/**
 * SHA-256 over the canonical JSON of rows, one a line, in their order: 64 hexadecimal digits. Equal rows give
 * equal digests however they were stored and whatever the order of their keys.
 */
export function dataDigest(rows: Iterable<unknown>): string {
  const hash = createHash('sha256');
  for (const row of rows) hash.update(`${canonicalJson(row, 'row')}\n`);
  return hash.digest('hex');
}
