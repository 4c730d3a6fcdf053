/**
 * Which passages an n-gram is in: a hash table with open addressing, as a Map of some million n-grams takes
 * seconds and hundreds of megabytes. N-grams are told apart by two hashes of 32 bits.
 */
export interface NgramTable {
  /** Notes that the n-gram is in the passage. Passages come in order. */
  add(a: number, b: number, passage: number): void;
  /** How many distinct n-grams, boilerplate left out, each passage has. */
  sizes(passages: number): Uint32Array;
  /** A search: of each distinct n-gram that it is given, `found` gets the passages, unless it is boilerplate. */
  search(found: (passage: number) => void): (a: number, b: number) => void;
}

/** An empty table for so many n-grams, of which those in more than `mostPassages` passages are boilerplate. */
export function ngramTable(ngrams: number, mostPassages: number): NgramTable {
  const bits = Math.max(1, Math.ceil(Math.log2(2 * ngrams + 2)));
  const slots = 2 ** bits;
  const [keysA, keysB] = [new Int32Array(slots), new Int32Array(slots)];
  /** How many passages the n-gram of a slot is in; 0 where the slot is free. */
  const counts = new Uint8Array(slots);
  /** The list of a slot's passages: its last entry; entries hold the one before, or 0. */
  const heads = new Uint32Array(slots);
  const [passageOf, before] = [new Uint32Array(ngrams + 1), new Uint32Array(ngrams + 1)];
  let entries = 0;
  /** The last search that came by a slot. */
  const lastSearch = new Uint32Array(slots);
  let searches = 0;

  /** The slot of an n-gram, or the free one where it would be. */
  const slotOf = (a: number, b: number): number => {
    let slot = Math.imul(a ^ (b >>> 15), 0x9e3779b1) >>> (32 - bits);
    while (counts[slot] > 0 && (keysA[slot] !== a || keysB[slot] !== b)) slot = (slot + 1) % slots;
    return slot;
  };
  const isBoilerplate = (slot: number) => counts[slot] > mostPassages;
  const eachPassage = (slot: number, visit: (passage: number) => void) => {
    for (let entry = heads[slot]; entry > 0; entry = before[entry]) visit(passageOf[entry]);
  };

  return {
    add(a, b, passage) {
      const slot = slotOf(a, b);
      if (isBoilerplate(slot) || (counts[slot] > 0 && passageOf[heads[slot]] === passage)) return;
      keysA[slot] = a;
      keysB[slot] = b;
      counts[slot]++;
      entries++;
      passageOf[entries] = passage;
      before[entries] = heads[slot];
      heads[slot] = entries;
    },
    sizes(passages) {
      const sizes = new Uint32Array(passages);
      for (let slot = 0; slot < slots; slot++) {
        if (!isBoilerplate(slot)) eachPassage(slot, (passage) => sizes[passage]++);
      }
      return sizes;
    },
    search(found) {
      const search = ++searches;
      return (a, b) => {
        const slot = slotOf(a, b);
        if (isBoilerplate(slot) || lastSearch[slot] === search) return;
        lastSearch[slot] = search;
        eachPassage(slot, found);
      };
    },
  };
}
