import type { OverlappingRows } from './find-overlaps.ts';
import type { OverlapKind } from './overlap-index.ts';
import type { PlacedId } from './row-print.ts';

/** `mbpp.jsonl:12 (612)`. */
export function placeOf({ where, id }: PlacedId): string {
  return id === null ? where : `${where} (${id})`;
}

/** How two rows overlap, in words. */
export const kindWords: Readonly<Record<OverlapKind, string>> = {
  row: 'the same prompt and completion',
  completion: 'the same completion',
  prompt: 'the same prompt',
  id: 'the same task by its id',
  translation: 'the same task in another language',
  near: 'near-duplicates',
};

/** What two rows have to do with each other, in words. */
export function describeKind(pair: Pick<OverlappingRows, 'kind' | 'share'>): string {
  return `${kindWords[pair.kind]}${shareWords(pair)}`;
}

/** `, 83 % of the n-grams` behind the words for near-duplicates; nothing behind those for others. */
export function shareWords({ share }: Pick<OverlappingRows, 'share'>): string {
  return share === undefined ? '' : `, ${(100 * share).toFixed(0)} % of the n-grams`;
}
