import { ngramTable } from './ngram-table.ts';
import { wordsOf } from './text-form.ts';

/**
 * N-grams are of 8 words, the least of the 8 to 13 of Brown et al. 2020, as tasks are short. Those in more
 * than ten passages are boilerplate and count for nothing, as there. A passage is like nothing unless it has
 * four others.
 */
export const ngramRule = { words: 8, passages: 10, least: 4 } as const;

/** Passages by their n-grams of words. */
export interface NgramIndex {
  /**
   * The passages of whose distinct n-grams, boilerplate left out, at least `leastShare` are in the texts (each
   * as its words), by their numbers from 0, with that share.
   */
  like(texts: readonly (readonly string[])[], leastShare: number): [passage: number, share: number][];
}

/** Indexes the passages in linear time; a search takes time in proportion to its texts. */
export function ngramIndex(passages: readonly string[]): NgramIndex {
  const vocabulary = new Map<string, number>();
  const numbered = passages.map((text) =>
    Int32Array.from(wordsOf(text), (word) => {
      const number = vocabulary.get(word) ?? vocabulary.size + 1;
      vocabulary.set(word, number);
      return number;
    }),
  );
  const ngrams = numbered.reduce((count, { length }) => count + length, 0);
  const table = ngramTable(ngrams, ngramRule.passages);
  for (const [passage, words] of numbered.entries()) {
    eachNgram(words, (a, b) => table.add(a, b, passage));
  }
  const sizes = table.sizes(passages.length);
  return {
    like(texts, leastShare) {
      const counts = new Map<number, number>();
      const count = (passage: number) => counts.set(passage, (counts.get(passage) ?? 0) + 1);
      const search = table.search(count);
      for (const words of texts) {
        eachNgram(
          words.map((word) => vocabulary.get(word) ?? 0),
          search,
        );
      }
      return [...counts].flatMap(([passage, shared]): [number, number][] => {
        const share = shared / sizes[passage];
        return sizes[passage] >= ngramRule.least && share >= leastShare ? [[passage, share]] : [];
      });
    },
  };
}

/** Odd multipliers of the two rolling hashes modulo 2³² that tell n-grams apart, and their nth powers. */
const [multiplierA, multiplierB] = [0x01000193, 0x5bd1e995];
const powerOf = (multiplier: number) =>
  Array.from({ length: ngramRule.words }).reduce((power: number) => Math.imul(power, multiplier), 1);
const [leavingA, leavingB] = [powerOf(multiplierA), powerOf(multiplierB)];

/**
 * The hashes of each n-gram of words, given by their numbers, of which 0 is none of the vocabulary: an n-gram
 * with such a word is in no passage.
 */
function eachNgram(words: ArrayLike<number>, visit: (a: number, b: number) => void): void {
  let [a, b, run] = [0, 0, 0];
  for (let i = 0; i < words.length; i++) {
    if (words[i] === 0) {
      a = b = run = 0;
      continue;
    }
    a = (Math.imul(a, multiplierA) + words[i]) | 0;
    b = (Math.imul(b, multiplierB) + words[i]) | 0;
    if (run >= ngramRule.words) {
      const left = words[i - ngramRule.words];
      a = (a - Math.imul(leavingA, left)) | 0;
      b = (b - Math.imul(leavingB, left)) | 0;
    }
    if (++run >= ngramRule.words) visit(a, b);
  }
}
