import type { Tokenizer } from '../tokenizer/tokenizer.ts';

const letter = (id: number): string => String.fromCodePoint(0x61 + id);

/** A tokenizer of letters: token 0 is a, 1 is b. */
export const letters: Tokenizer = {
  vocabSize: 26,
  bosId: null,
  eosId: null,
  padId: null,
  encode: (text) => [...text].map((character) => character.codePointAt(0)! - 0x61),
  idOf: (name) => (/^[a-z]$/.test(name) ? name.codePointAt(0)! - 0x61 : undefined),
  bytesOf: (id) => (id < 26 ? Uint8Array.of(0x61 + id) : undefined),
  decode: (ids) => [...ids].map(letter).join(''),
  decodeStream: () => ({ push: letter, end: () => '' }),
};
