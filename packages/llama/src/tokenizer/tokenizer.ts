import { DataError } from '@flex/base';
import { newAddedTokenSplitter, type Section } from './added-tokens.ts';
import { newTextSplitter, type TextSplitter } from './text-splitter.ts';
import type { TokenizerParts } from './tokenizer-parts.ts';

export interface EncodeOptions {
  /** Whether the token of its beginning comes first; without a word, as the tokenizer's files say. */
  readonly bos?: boolean;
  /** The text continues another: neither a space nor the token of a beginning is put in front. */
  readonly continuation?: boolean;
}

export interface DecodeOptions {
  /** Leave special tokens such as the end of text out (the default), or write them as they stand. */
  readonly skipSpecial?: boolean;
  /** The ids continue a text: a space in front belongs to it, and is not the one that encoding puts there. */
  readonly continuation?: boolean;
}

/** Turns ids into text one by one. A character comes once its last byte has. */
export interface TextStream {
  /** The text that this id completes. Throws DataError when the id is not in the vocabulary. */
  push(id: number): string;
  /** What is left: U+FFFD where the ids stopped inside a character, else nothing. */
  end(): string;
}

/**
 * Text to token ids and back: decode(encode(text)) is text, to the last space, for well-formed text (no half
 * surrogate pairs) without U+2581, which Llama's vocabulary uses for the space.
 *
 * Special tokens written out in a text become those tokens, as in transformers; so to get such a text back
 * exactly, encode with `bos: false` and decode with `skipSpecial: false`.
 */
export interface Tokenizer {
  /** One more than the largest id, added tokens included. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  /** The ids of a text. */
  encode(text: string, options?: EncodeOptions): number[];
  /** The id of the token of this name, such as `<|im_end|>`; undefined where there is none. */
  idOf(name: string): number | undefined;
  /** The bytes that a token stands for, of an added one its name's; undefined where there is no such id. */
  bytesOf(id: number): Uint8Array | undefined;
  /** The text of ids; bytes that are not UTF-8 become U+FFFD. Throws DataError for an unknown id. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** Decodes ids as they come; the pieces joined are what decode gives for the ids together. */
  decodeStream(options?: DecodeOptions): TextStream;
}

/** What the files beside a tokenizer say about it. */
export interface TokenizerSettings {
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  /** The ids that a text begins with. */
  readonly opening: readonly number[];
}

const encoder = new TextEncoder();

/** The tokenizer of these parts; of `settings`, all ids are among theirs. */
export function newTokenizer(parts: TokenizerParts, settings: TokenizerSettings): Tokenizer {
  const { path, model, added, normalizer, preTokenizer } = parts;
  const { bosId, opening } = settings;
  const addedById = new Map(added.map((token) => [token.id, token]));
  const addedByName = new Map(added.map((token) => [token.content, token]));
  const bytesOf = readNames(parts);
  let vocabSize = 0;
  for (const id of [...model.ids.values(), ...addedById.keys()]) vocabSize = Math.max(vocabSize, id + 1);

  const beginning = newTextSplitter(path, normalizer, preTokenizer, false);
  const continuing = newTextSplitter(path, normalizer, preTokenizer, true);
  const inText = added.filter((token) => !token.normalized);
  const inNormalized = added.filter((token) => token.normalized);
  const splitText = newAddedTokenSplitter(inText.map((token) => [token.content, token]));
  const splitNormalized = newAddedTokenSplitter(
    inNormalized.map((token) => [beginning.normalize(token.content), token]),
  );

  function encodeText(text: string, continuation: boolean): number[] {
    const ids: number[] = [];
    // UTF-8 has no half surrogate pairs: they become U+FFFD.
    for (const section of splitText(
      new TextDecoder('utf-8', { ignoreBOM: true }).decode(encoder.encode(text)),
    )) {
      const withSpace = section.at === 0 ? !continuation : !parts.spaceOnce;
      if (section.token) ids.push(section.token.id);
      else encodeSection(section, withSpace ? beginning : continuing, ids);
    }
    return ids;
  }

  function encodeSection({ text, at }: Section, splitter: TextSplitter, ids: number[]): void {
    for (const inner of splitNormalized(splitter.normalize(text))) {
      if (inner.token) ids.push(inner.token.id);
      else {
        for (const piece of splitter.split(inner.text, at === 0 && inner.at === 0)) {
          for (const id of model.encode(piece)) ids.push(id);
        }
      }
    }
  }

  const startsWithSpace = (id: number): boolean => bytesOf(id)?.[0] === 0x20;
  // Encoding may put a space in front of a text, and of what follows a special token: decoding takes it away.
  const spaceFirst = startsWithSpace(encodeText('a', false)[0]);
  const special = added.find((token) => token.special && !token.rstrip);
  const spaceAfterSpecial =
    special !== undefined && startsWithSpace(encodeText(`${special.content}a`, false)[1]);

  function decodeStream({ skipSpecial = true, continuation = false }: DecodeOptions = {}): TextStream {
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    let dropSpace = spaceFirst && !continuation;
    let begun = false;
    return {
      push(id) {
        const isFirst = !begun;
        begun = true;
        const token = addedById.get(id);
        if (token) {
          // The beginning of text stands before the space that encoding puts in front.
          if (!isFirst || id !== bosId) dropSpace = spaceAfterSpecial;
          return utf8.decode() + (token.special && skipSpecial ? '' : token.content);
        }
        const bytes = bytesOf(id);
        if (!bytes) throw new DataError(`${path}: token id ${id} is not in the vocabulary of ${vocabSize}`);
        const from = dropSpace && bytes[0] === 0x20 ? 1 : 0;
        dropSpace = false;
        return utf8.decode(bytes.subarray(from), { stream: true });
      },
      end: () => utf8.decode(),
    };
  }

  return {
    vocabSize,
    bosId,
    eosId: settings.eosId,
    padId: settings.padId,
    idOf: (name) => addedByName.get(name)?.id ?? model.ids.get(name),
    bytesOf: (id) => {
      const token = addedById.get(id);
      return token ? encoder.encode(token.content) : bytesOf(id);
    },
    encode(text, { bos, continuation = false } = {}) {
      const ids = encodeText(text, continuation);
      if (!(bos ?? !continuation)) return ids;
      if (!bos) return [...opening, ...ids];
      if (bosId === null) throw new DataError(`${path}: there is no "bos_token" to begin a text with`);
      return [bosId, ...ids];
    },
    decode(ids, options) {
      const stream = decodeStream(options);
      let text = '';
      for (const id of ids) text += stream.push(id);
      return text + stream.end();
    },
    decodeStream,
  };
}

/** The bytes that a token of the vocabulary stands for, read off its name. */
function readNames({ model, names }: TokenizerParts): (id: number) => Uint8Array | undefined {
  const nameOf = new Map<number, string>();
  for (const [name, id] of model.ids) nameOf.set(id, name);
  if (names === 'bytes') {
    const byteOf = byteLevelAlphabet();
    return (id) => {
      const name = nameOf.get(id);
      if (name === undefined) return undefined;
      const bytes = Array.from(name, (character) => byteOf.get(character));
      // A name beyond the alphabet is spelt as it is, as Python's tokenizers have it.
      return bytes.includes(undefined) ? encoder.encode(name) : Uint8Array.from(bytes as number[]);
    };
  }
  return (id) => {
    const name = nameOf.get(id);
    const byte = /^<0x([0-9A-F]{2})>$/.exec(name ?? '');
    if (byte) return Uint8Array.of(Number.parseInt(byte[1], 16));
    return name === undefined ? undefined : encoder.encode(name.replaceAll('\u2581', ' '));
  };
}

/** The printable character that stands for each byte in GPT-2's byte-level vocabularies, to the byte. */
function byteLevelAlphabet(): Map<string, number> {
  const isPrintable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  const alphabet = new Map<string, number>();
  for (let byte = 0; byte < 256; byte++) {
    alphabet.set(String.fromCharCode(isPrintable(byte) ? byte : next++), byte);
  }
  return alphabet;
}
