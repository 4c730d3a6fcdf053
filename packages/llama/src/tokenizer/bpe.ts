import { byteIds, type TokenModel } from './token-model.ts';

/** Two tokens that become one. */
export interface Merge {
  readonly left: number;
  readonly right: number;
  readonly merged: number;
  /** The pair of the lowest rank merges first; of equal ones, the leftmost. */
  readonly rank: number;
}

export interface BpeOptions {
  readonly ids: ReadonlyMap<string, number>;
  readonly merges: readonly Merge[];
  /** Stands for a character that is not in the vocabulary; without it, such a character is left out. */
  readonly unknown?: number;
  /** One unknown token for unknown characters that follow each other. */
  readonly fuseUnknown?: boolean;
  /** The tokens of its bytes stand for a character that is not in the vocabulary. */
  readonly byteFallback?: boolean;
  /** A piece that is a token as a whole is that token, whether its merges lead there or not. */
  readonly wholePieces?: boolean;
}

/** Pieces no longer than this, of which texts are full, are remembered: so many of them. */
const [longestRemembered, mostRemembered] = [64, 1 << 16];

/** Byte-pair encoding (Sennrich et al. 2016): from characters on, the pair of the lowest rank is merged. */
export function newBpe(options: BpeOptions): TokenModel {
  const { ids, unknown, fuseUnknown = false, byteFallback = false, wholePieces = false } = options;
  let size = 0;
  for (const id of ids.values()) size = Math.max(size, id + 1);
  const mergeOf = new Map<number, Merge>();
  for (const merge of options.merges) mergeOf.set(merge.left * size + merge.right, merge);
  const bytesOf = byteIds(ids);
  const remembered = new Map<string, readonly number[]>();

  function symbols(piece: string): number[] {
    const found: number[] = [];
    let afterUnknown = false;
    for (const character of piece) {
      const id = ids.get(character);
      const known = id !== undefined ? [id] : byteFallback ? bytesOf(character) : undefined;
      if (known) found.push(...known);
      else if (unknown !== undefined && !(fuseUnknown && afterUnknown)) found.push(unknown);
      afterUnknown = !known;
    }
    return found;
  }

  /** Merges in O(n log n): the heap holds rank · n + place for every pair that may merge. */
  function merge(tokens: number[]): number[] {
    const n = tokens.length;
    if (n < 2) return tokens;
    const next = Int32Array.from({ length: n }, (_, i) => i + 1);
    const previous = Int32Array.from({ length: n }, (_, i) => i - 1);
    const pairs = newHeap();
    const mergeAt = (at: number): Merge | undefined =>
      at >= 0 && next[at] < n ? mergeOf.get(tokens[at] * size + tokens[next[at]]) : undefined;
    const offer = (at: number): void => {
      const found = mergeAt(at);
      if (found) pairs.push(found.rank * n + at);
    };
    for (let at = 0; at < n; at++) offer(at);
    for (let key = pairs.pop(); key !== undefined; key = pairs.pop()) {
      const at = key % n;
      const found = tokens[at] < 0 ? undefined : mergeAt(at);
      if (found?.rank !== (key - at) / n) continue; // one of the two has merged with another since
      const gone = next[at];
      tokens[at] = found.merged;
      tokens[gone] = -1;
      next[at] = next[gone];
      if (next[at] < n) previous[next[at]] = at;
      offer(previous[at]);
      offer(at);
    }
    return tokens.filter((token) => token >= 0);
  }

  function encode(piece: string): readonly number[] {
    const whole = wholePieces ? ids.get(piece) : undefined;
    return whole === undefined ? merge(symbols(piece)) : [whole];
  }

  return {
    ids,
    encode(piece) {
      if (piece.length > longestRemembered) return encode(piece);
      let found = remembered.get(piece);
      if (!found) {
        found = encode(piece);
        if (remembered.size === mostRemembered) remembered.clear();
        remembered.set(piece, found);
      }
      return found;
    },
  };
}

/** A heap of numbers, the least first. */
function newHeap(): { push(key: number): void; pop(): number | undefined } {
  const keys: number[] = [];
  return {
    push(key) {
      let at = keys.length;
      for (let parent = (at - 1) >> 1; at > 0 && keys[parent] > key; parent = (at - 1) >> 1) {
        keys[at] = keys[parent];
        at = parent;
      }
      keys[at] = key;
    },
    pop() {
      const least = keys[0];
      const key = keys.pop();
      if (key === undefined || keys.length === 0) return least;
      let at = 0;
      for (let child = 1; child < keys.length; child = 2 * at + 1) {
        if (child + 1 < keys.length && keys[child + 1] < keys[child]) child++;
        if (keys[child] >= key) break;
        keys[at] = keys[child];
        at = child;
      }
      keys[at] = key;
      return least;
    },
  };
}
