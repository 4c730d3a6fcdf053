import { DataError, oneLine } from '@flex/base';
import * as z from 'zod';
import { checkContent, requireSpelled } from '../read-json.ts';
import { type Merge, newBpe } from './bpe.ts';
import { byteName, type TokenModel } from './token-model.ts';
import type { TokenizerParts } from './tokenizer-parts.ts';
import { newUnigram } from './unigram.ts';

const flag = z.boolean();
const addedToken = z.strictObject({
  id: z.int().nonnegative(),
  content: z.string(),
  special: flag,
  normalized: flag.optional(),
  single_word: flag.default(false),
  lstrip: flag.default(false),
  rstrip: flag.default(false),
});
const part = z.looseObject({ type: z.string() });
const piece = z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }).optional() });
const postProcessor = part.extend({ single: z.array(piece).optional() });
const modelSchema = z.strictObject({
  type: z.string().optional(),
  vocab: z.custom<object>((value) => typeof value === 'object' && value !== null, 'must be the vocabulary'),
  merges: z.custom<readonly unknown[]>(Array.isArray, 'must be a list').optional(),
  unk_token: z.string().nullish(),
  unk_id: z.int().nonnegative().nullish(),
  fuse_unk: flag.nullish(),
  byte_fallback: flag.nullish(),
  ignore_merges: flag.nullish(),
  dropout: z.number().nullish(),
  continuing_subword_prefix: z.string().nullish(),
  end_of_word_suffix: z.string().nullish(),
});
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedToken),
  normalizer: part.nullable(),
  pre_tokenizer: part.nullable(),
  post_processor: postProcessor.extend({ processors: z.array(postProcessor).optional() }).nullable(),
  decoder: part.extend({ decoders: z.array(part).optional() }),
  model: modelSchema,
});
type Model = z.infer<typeof modelSchema>;

/** Keys of the post-processors and decoders that there are. */
const partKeys = [
  ...['type', 'processors', 'decoders', 'pattern', 'Regex', 'String', 'content', 'start', 'stop'],
  ...['replacement', 'add_prefix_space', 'prepend_scheme', 'split', 'use_regex', 'trim_offsets'],
  ...['single', 'pair', 'SpecialToken', 'Sequence', 'id', 'type_id', 'special_tokens'],
];

/** Throws DataError for a misspelt key (see requireSpelled), whose part would do without it. */
function requireSpelledParts(path: string, content: object): void {
  if (!Array.isArray(content)) requireSpelled(path, content, partKeys);
  for (const [key, value] of Object.entries(content)) {
    const isPart = typeof value === 'object' && value !== null && key !== 'special_tokens';
    if (isPart) requireSpelledParts(path, value);
  }
}

/** A tokenizer.json's content. Throws DataError, beginning with `path`, for one that cannot be exactly read. */
export function readTokenizerJson(path: string, content: unknown): TokenizerParts {
  const json = checkContent(path, [], content, tokenizerSchema);
  const { normalizer, pre_tokenizer: preTokenizer, post_processor, decoder } = json;
  requireSpelled(path, json, Object.keys(tokenizerSchema.shape));
  for (const part of [post_processor, decoder]) requireSpelledParts(path, part ?? {});
  const template = [post_processor, ...(post_processor?.processors ?? [])].find((each) => each?.single);
  const opening: string[] = [];
  for (const { SpecialToken } of template?.single ?? []) {
    if (!SpecialToken) break;
    opening.push(SpecialToken.id);
  }
  const types = [decoder, ...(decoder.decoders ?? [])].map(({ type }) => type);
  const names = types.includes('ByteLevel') ? 'bytes' : 'spaces';
  if (names === 'spaces' && !types.includes('ByteFallback') && !types.includes('Metaspace')) {
    throw new DataError(
      `${path}: a decoder of ${types.join(', ')} is not supported; one with ByteLevel or ByteFallback is`,
    );
  }
  const added = json.added_tokens.map((token) => ({ normalized: !token.special, ...token }));
  return { path, model: readModel(path, json.model), added, normalizer, preTokenizer, opening, names };
}

function readModel(path: string, model: Model): TokenModel {
  const isList = Array.isArray(model.vocab);
  const type = model.type ?? (isList ? 'Unigram' : 'BPE');
  if (type === 'Unigram' && isList) return readUnigram(path, model);
  if (type === 'BPE' && !isList) return readBpe(path, model);
  throw new DataError(`${path}: a model of type ${type} is not supported; BPE and Unigram are`);
}

function readBpe(path: string, model: Model): TokenModel {
  for (const key of ['dropout', 'continuing_subword_prefix', 'end_of_word_suffix'] as const) {
    if (model[key]) {
      throw new DataError(`${path}: "model.${key}" is ${JSON.stringify(model[key])}; only null is supported`);
    }
  }
  const ids = idsByName(path, Object.entries(model.vocab));
  const idOf = (name: string, at: number): number => {
    const id = ids.get(name);
    if (id !== undefined) return id;
    throw new DataError(`${path}: merge ${at} needs ${oneLine(JSON.stringify(name))}, which is not a token`);
  };
  const merges = (model.merges ?? []).map((pair, rank): Merge => {
    const [left, right, ...rest] =
      typeof pair === 'string' ? pair.split(' ') : Array.isArray(pair) ? pair : [];
    if (typeof left !== 'string' || typeof right !== 'string' || rest.length > 0) {
      throw new DataError(`${path}: merge ${rank} must be two tokens; it is ${JSON.stringify(pair)}`);
    }
    return { left: idOf(left, rank), right: idOf(right, rank), merged: idOf(left + right, rank), rank };
  });
  const bytes = model.byte_fallback ? Array.from({ length: 256 }, (_, byte) => byteName(byte)) : [];
  const missing = bytes.filter((name) => !ids.has(name));
  if (missing.length > 0 && missing.length < 256) {
    throw new DataError(`${path}: "model.vocab" has tokens of other bytes, but not ${missing[0]}`);
  }
  const unknown = typeof model.unk_token === 'string' ? ids.get(model.unk_token) : undefined;
  if (model.unk_token && unknown === undefined) {
    throw new DataError(`${path}: "model.unk_token" is ${model.unk_token}, which is not a token`);
  }
  return newBpe({
    ids,
    merges,
    unknown,
    fuseUnknown: model.fuse_unk ?? false,
    byteFallback: model.byte_fallback ?? false,
    wholePieces: model.ignore_merges ?? false,
  });
}

const scored = z.array(z.tuple([z.string(), z.number()]), 'must be a list of tokens with their scores');

function readUnigram(path: string, model: Model): TokenModel {
  const scores = checkContent(path, ['model', 'vocab'], model.vocab, scored);
  const ids = idsByName(
    path,
    scores.map(([name], id) => [name, id]),
  );
  const unknown = model.unk_id ?? undefined;
  if (unknown === undefined || unknown >= scores.length) {
    throw new DataError(
      `${path}: "model.unk_id" must be one of the ${scores.length} tokens; it is ${unknown}`,
    );
  }
  return newUnigram({ ids, scores, unknown, byteFallback: model.byte_fallback ?? false });
}

/** Ids of pairs are numbers below its square, which must be exact. */
const mostTokens = 1 << 24;

function idsByName(path: string, entries: readonly (readonly [string, unknown])[]): Map<string, number> {
  const ids = new Map<string, number>();
  const names: string[] = [];
  const shown = (name: string) => oneLine(JSON.stringify(name));
  for (const [name, id] of entries) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= mostTokens) {
      throw new DataError(`${path}: the id of ${shown(name)} must be a whole number below 2^24; it is ${id}`);
    }
    if (names[id] !== undefined) {
      throw new DataError(`${path}: ${shown(names[id])} and ${shown(name)} have one id, ${id}`);
    }
    names[id] = name;
    ids.set(name, id);
  }
  return ids;
}
