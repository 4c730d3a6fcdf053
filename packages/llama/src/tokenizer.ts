import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import * as z from 'zod';
import { readJson, requireDirectory } from './read-json.ts';

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
  /** The ids of a text; that of its beginning comes first if `bos`, or else the configuration, says so. */
  encode(text: string, options?: { readonly bos?: boolean }): number[];
  /** The text of ids; bytes that are not UTF-8 become U+FFFD. Throws DataError for an unknown id. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** Decodes ids as they come; the pieces joined are what decode gives for the ids together. */
  decodeStream(options?: DecodeOptions): TextStream;
}

/** What is used of the library; its type files cannot be resolved from ES modules. */
interface Library {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  id_to_token(id: number): string | undefined;
  token_to_id(token: string): number | undefined;
  get_vocab(): Map<string, number>;
}

const addedToken = z.looseObject({ id: z.int().nonnegative(), content: z.string(), special: z.boolean() });
const part = z.looseObject({ type: z.string() });
const decoderSchema = part.extend({ decoders: z.array(part).optional() });
const tokenizerSchema = z.looseObject({ added_tokens: z.array(addedToken), decoder: decoderSchema });

const tokenName = z
  .union(
    [z.string(), z.looseObject({ content: z.string() })],
    'must be a token, or an object with its content',
  )
  .transform((token) => (typeof token === 'string' ? token : token.content))
  .nullish();
const configSchema = z.looseObject({
  bos_token: tokenName,
  eos_token: tokenName,
  pad_token: tokenName,
  add_bos_token: z.boolean('must be true or false').nullish(),
});

/**
 * Opens the tokenizer in a Hugging Face model directory, from tokenizer.json and tokenizer_config.json.
 *
 * Throws DataError, in one line with the file, what is wrong and what would be right, when one of them is
 * missing or malformed, and when the tokenizer is of another family than Llama's two (spaces as U+2581, or
 * byte-level).
 */
export function openTokenizer(dir: string): Tokenizer {
  requireDirectory(dir);
  const path = join(dir, 'tokenizer.json');
  const configPath = join(dir, 'tokenizer_config.json');
  if (!existsSync(path))
    throw new DataError(`${dir}: there is no tokenizer; tokenizer.json must be there${hint(dir)}`);
  if (!existsSync(configPath))
    throw new DataError(`${dir}: tokenizer_config.json must be beside tokenizer.json`);
  const json = readJson(path, tokenizerSchema);
  const config = readJson(configPath, configSchema);
  const library = openLibrary(path, json, config);
  const bytesOf = pieceReader(path, json.decoder, library);
  const added = new Map(json.added_tokens.map((token) => [token.id, token]));

  const idOf = (key: 'bos_token' | 'eos_token' | 'pad_token'): number | null => {
    const name = config[key] ?? null;
    const id = name === null ? null : library.token_to_id(name);
    if (id === undefined)
      throw new DataError(`${configPath}: "${key}" is ${name}, which is not in tokenizer.json`);
    return id;
  };
  const bosId = idOf('bos_token');
  let vocabSize = 0;
  for (const id of library.get_vocab().values()) vocabSize = Math.max(vocabSize, id + 1);

  const encodeText = (text: string): number[] => library.encode(text, { add_special_tokens: false }).ids;
  const startsWithSpace = (id: number): boolean => bytesOf(id)?.[0] === 0x20;
  // Encoding may put a space in front of a text, and of what follows a special token: decoding takes it away.
  const spaceFirst = startsWithSpace(encodeText('a')[0]);
  const special = json.added_tokens.find((token) => token.special);
  const spaceAfterSpecial = special !== undefined && startsWithSpace(encodeText(`${special.content}a`)[1]);
  // Without a word on it in the configuration, the template of tokenizer.json decides.
  const bosByDefault =
    config.add_bos_token ?? library.encode('', { add_special_tokens: true }).ids[0] === bosId;

  function decodeStream({ skipSpecial = true, continuation = false }: DecodeOptions = {}): TextStream {
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    let dropSpace = spaceFirst && !continuation;
    let begun = false;
    return {
      push(id) {
        const isFirst = !begun;
        begun = true;
        const token = added.get(id);
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
    eosId: idOf('eos_token'),
    padId: idOf('pad_token'),
    encode(text, { bos = bosByDefault && bosId !== null } = {}) {
      if (!bos) return encodeText(text);
      if (bosId === null) throw new DataError(`${configPath}: there is no "bos_token" to begin a text with`);
      return [bosId, ...encodeText(text)];
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

function hint(dir: string): string {
  if (!existsSync(join(dir, 'tokenizer.model'))) return '';
  return ', tokenizer.model is not read: save the tokenizer again with transformers';
}

function openLibrary(path: string, json: object, config: object): Library {
  try {
    return new HuggingFaceTokenizer(json, config);
  } catch (cause) {
    throw new DataError(`${path}: is not a tokenizer that can be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * How the bytes of a token are read off its name; undefined where there is no such id.
 *
 * The library encodes, but decoding is done here, on bytes: the library drops U+FEFF where it starts a run of
 * byte tokens, by default takes spaces before punctuation away, refuses an empty list, and cannot decode a
 * text that continues another, nor one that is still coming.
 */
function pieceReader(
  path: string,
  decoder: z.infer<typeof decoderSchema>,
  library: Library,
): (id: number) => Uint8Array | undefined {
  const types = [decoder, ...(decoder.decoders ?? [])].map(({ type }) => type);
  if (types.includes('ByteLevel')) {
    const byteOf = byteLevelAlphabet();
    return (id) => {
      const name = library.id_to_token(id);
      return name === undefined
        ? undefined
        : Uint8Array.from(name, (character) => byteOf.get(character) as number);
    };
  }
  if (!types.includes('ByteFallback') && !types.includes('Metaspace')) {
    const came = types.join(', ');
    throw new DataError(
      `${path}: a decoder of ${came} is not supported; one with ByteLevel or ByteFallback is`,
    );
  }
  const utf8 = new TextEncoder();
  return (id) => {
    const name = library.id_to_token(id);
    const byte = /^<0x([0-9A-F]{2})>$/.exec(name ?? '');
    if (byte) return Uint8Array.of(Number.parseInt(byte[1], 16));
    return name === undefined ? undefined : utf8.encode(name.replaceAll('\u2581', ' '));
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
