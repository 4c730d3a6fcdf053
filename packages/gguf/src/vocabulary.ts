import { ConfigError, DataError } from '@flex/base';
import { checkContent, readSentencePieceProto } from '@flex/llama';
import * as z from 'zod';
import { preTokenizerName, preTokenizerSchema } from './pre-tokenizers.ts';

/** Types of tokens, by their numbers in a file, which are SentencePiece's own. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Token {
  readonly text: string;
  readonly type: number;
  /** SentencePiece's; 0 in a byte-level vocabulary. */
  readonly score: number;
}

/** A token that stands beside a vocabulary. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** What a tokenizer's file says, as a GGUF file has it. */
export interface Vocabulary {
  readonly tokens: ReadonlyMap<number, Token>;
  /** Of a byte-level vocabulary; null: pieces have scores. */
  readonly merges: readonly string[] | null;
  /** llama.cpp's name of how texts are split. */
  readonly splitting: string;
  /** Tokens that a text begins with, and those that the file itself gives these names. */
  readonly opening: readonly string[];
  readonly named: Readonly<Record<'bos' | 'eos' | 'unk' | 'pad', string | undefined>>;
  readonly putsSpaceFirst: boolean;
}

const part = z.looseObject({ type: z.string() });
const addedSchema = z.looseObject({ id: z.int().nonnegative(), content: z.string(), special: z.boolean() });
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedSchema).default([]),
  normalizer: part.nullish(),
  pre_tokenizer: preTokenizerSchema.nullish(),
  post_processor: part.nullish(),
  decoder: part.nullish(),
  model: z.looseObject({
    type: z.literal('BPE', 'must be BPE: llama.cpp has no other kind for these families').default('BPE'),
    unk_token: z.string().nullish(),
    byte_fallback: z.boolean().nullish(),
    vocab: z.record(z.string(), z.int().nonnegative()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});
type TokenizerJson = z.infer<typeof tokenizerSchema>;

/**
 * The vocabulary of a tokenizer.json, `content`. A piece of one with bytes to fall back to has minus the place
 * of the merge that makes it for a score, and what no merge makes comes behind all of them. Throws DataError
 * for what is malformed, and ConfigError for a tokenizer that llama.cpp has not.
 */
export function vocabularyOfJson(path: string, content: unknown): Vocabulary {
  const json = checkContent(path, [], content, tokenizerSchema);
  const { added_tokens: added, pre_tokenizer: preTokenizer, decoder, model } = json;
  const isByteLevel = JSON.stringify([preTokenizer, decoder]).includes('"ByteLevel"');
  if (!isByteLevel && !model.byte_fallback) {
    throw new ConfigError(
      `${path}: is neither byte-level nor has bytes to fall back to; llama.cpp needs one`,
    );
  }
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge.split(' ') : merge));
  const places = new Map<string, number>();
  for (const [i, [a, b]] of merges.entries()) if (!places.has(a + b)) places.set(a + b, i);
  const tokens = new Map<number, Token>();
  for (const [text, id] of Object.entries(model.vocab)) {
    const isByte = !isByteLevel && /^<0x[0-9A-F]{2}>$/.test(text);
    const type = isByte ? 'byte' : text === model.unk_token ? 'unknown' : 'normal';
    const score = isByteLevel || type !== 'normal' ? 0 : -(places.get(text) ?? merges.length);
    tokens.set(id, { text, type: tokenTypes[type], score });
  }
  for (const token of added) {
    if (tokens.get(token.id)?.type !== tokenTypes.unknown) tokens.set(token.id, addedToken(token));
  }
  return {
    tokens,
    merges: isByteLevel ? merges.map((pair) => pair.join(' ')) : null,
    splitting: isByteLevel ? preTokenizerName(path, preTokenizer) : 'default',
    opening: openingOf(json),
    named: { bos: undefined, eos: undefined, unk: model.unk_token ?? undefined, pad: undefined },
    putsSpaceFirst: /"type":"Prepend"|"prepend_scheme":"(always|first)"|"add_prefix_space":true/.test(
      JSON.stringify([json.normalizer, preTokenizer]),
    ),
  };
}

/** A token that is looked for in a text before it is split. */
export const addedToken = ({ content: text, special }: AddedToken): Token => ({
  text,
  type: special ? tokenTypes.control : tokenTypes.userDefined,
  score: 0,
});

/** The special tokens that the template of a text begins with. */
function openingOf({ post_processor: processor }: TokenizerJson): string[] {
  const single = /"single":\[((?:\{"SpecialToken":\{[^}]*\}\},?)*)/.exec(
    JSON.stringify(processor ?? null),
  )?.[1];
  return Array.from(
    (single ?? '').matchAll(/"id":("(?:[^"\\]|\\.)*")/g),
    ([, id]) => JSON.parse(id) as string,
  );
}

/**
 * The vocabulary of a SentencePiece tokenizer.model, its scores and types as they are. Throws DataError for a
 * file that is none, and ConfigError for a unigram model, whose texts llama.cpp would encode otherwise.
 */
export function vocabularyOfPieces(path: string): Vocabulary {
  const { pieces, modelType, byteFallback, charsmap, unknown, bos, eos, pad, spaceFirst } =
    readSentencePieceProto(path);
  if (modelType !== 2 || !byteFallback)
    throw new ConfigError(
      `${path}: must be BPE with bytes to fall back to; llama.cpp has no other for these families`,
    );
  if (charsmap > 0) throw new DataError(`${path}: normalizes characters by a table, which is not supported`);
  const nameOf = (id: number) => pieces[id]?.name;
  return {
    tokens: new Map(pieces.map(({ name: text, kind: type, score }, id) => [id, { text, type, score }])),
    merges: null,
    splitting: 'default',
    opening: [nameOf(bos) ?? []].flat(),
    named: { bos: nameOf(bos), eos: nameOf(eos), unk: nameOf(unknown), pad: nameOf(pad) },
    putsSpaceFirst: spaceFirst,
  };
}
