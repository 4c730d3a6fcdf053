import { byteIds, type TokenModel } from './token-model.ts';
import { newTrie } from './trie.ts';

export interface UnigramOptions {
  readonly ids: ReadonlyMap<string, number>;
  /** The tokens that a text is cut into, with the logarithms of their probabilities. */
  readonly scores: Iterable<readonly [name: string, score: number]>;
  /** Stands for a run of characters that no token covers. */
  readonly unknown: number;
  /** The tokens of their bytes stand for such characters, where the vocabulary has them all. */
  readonly byteFallback?: boolean;
  /** Scores add up in f32, as SentencePiece adds them: that decides between ways that are equally likely. */
  readonly f32?: boolean;
}

/** How much less likely than the least likely token a character that no token covers is: SentencePiece's. */
const unknownPenalty = 10;

/**
 * A unigram model (Kudo 2018): of all ways to cut a text into tokens, the likeliest, found by Viterbi's
 * algorithm.
 */
export function newUnigram(options: UnigramOptions): TokenModel {
  const { ids, scores, unknown, byteFallback = false, f32 = false } = options;
  const round = f32 ? Math.fround : (x: number) => x;
  const tokens = [...scores].map(([name, score]) => [name, { id: ids.get(name) as number, score }] as const);
  const trie = newTrie(tokens);
  let least = Number.POSITIVE_INFINITY;
  for (const [, { score }] of tokens) least = Math.min(least, score);
  const unknownScore = round(least - unknownPenalty);
  const bytesOf = byteIds(ids);

  return {
    ids,
    encode(piece) {
      const n = piece.length;
      // The best way to each place: its score, the last token and where that begins.
      const best = new Float64Array(n + 1);
      const last = new Int32Array(n + 1);
      const from = new Int32Array(n + 1).fill(-1);
      const offer = (begin: number, end: number, id: number, score: number): void => {
        const candidate = round(best[begin] + score);
        if (from[end] >= 0 && candidate <= best[end]) return;
        best[end] = candidate;
        last[end] = id;
        from[end] = begin;
      };
      let width = 1;
      for (let at = 0; at < n; at += width) {
        width = (piece.codePointAt(at) as number) > 0xffff ? 2 : 1;
        let covered = false;
        trie.find(piece, at, (length, { id, score }) => {
          offer(at, at + length, id, score);
          covered ||= length === width;
        });
        if (!covered) offer(at, at + width, unknown, unknownScore);
      }
      const found: number[] = [];
      for (let end = n; end > 0; end = from[end]) {
        if (last[end] !== unknown) found.push(last[end]);
        else {
          const run = end;
          while (from[end] > 0 && last[from[end]] === unknown) end = from[end];
          const bytes = byteFallback ? bytesOf(piece.slice(from[end], run)) : undefined;
          found.push(...(bytes?.reverse() ?? [unknown]));
        }
      }
      return found.reverse();
    },
  };
}
