import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DataError } from '@flex/base';
import * as z from 'zod';
import { readJson, requireDirectory, requireSpelled } from '../read-json.ts';
import type { AddedToken } from './added-tokens.ts';
import { readSentencePiece } from './sentence-piece.ts';
import { newTokenizer, type Tokenizer } from './tokenizer.ts';
import { readTokenizerJson } from './tokenizer-json.ts';
import type { TokenizerParts } from './tokenizer-parts.ts';
import { readVocabAndMerges } from './vocab-and-merges.ts';

const tokenName = z
  .union(
    [z.string(), z.looseObject({ content: z.string() })],
    'must be a token, or an object with its content',
  )
  .transform((token) => (typeof token === 'string' ? token : token.content))
  .nullish();
const flag = z.boolean();
const declaredToken = z.looseObject({
  content: z.string(),
  special: flag.default(false),
  normalized: flag.optional(),
  single_word: flag.default(false),
  lstrip: flag.default(false),
  rstrip: flag.default(false),
});
const names = { bos_token: tokenName, eos_token: tokenName, pad_token: tokenName };
const mapSchema = z.looseObject(names);
const configSchema = z.looseObject({
  ...names,
  add_bos_token: flag.nullish(),
  legacy: flag.nullish(),
  tokenizer_class: z.string().nullish(),
  added_tokens_decoder: z.record(z.string(), declaredToken).nullish(),
});
type Config = z.infer<typeof configSchema>;
const addedTokensSchema = z.record(z.string(), z.int().nonnegative());
const modelSchema = z.looseObject({ model_type: z.string().optional() });

/**
 * Opens the tokenizer in a Hugging Face model directory: tokenizer.json; where that is not there,
 * SentencePiece's tokenizer.model; where that is not either, GPT-2's vocab.json and merges.txt. Added tokens and
 * the names of special ones are in tokenizer_config.json, special_tokens_map.json and added_tokens.json too.
 *
 * Throws DataError, in one line with the file, what is wrong and what would be right, when one of them is
 * missing or malformed, and when a part of the tokenizer is of a kind that is not known here.
 */
export function openTokenizer(dir: string): Tokenizer {
  requireDirectory(dir);
  const configPath = join(dir, 'tokenizer_config.json');
  const mapPath = join(dir, 'special_tokens_map.json');
  const config = existsSync(configPath) ? readJson(configPath, configSchema) : undefined;
  requireSpelled(configPath, config ?? {}, Object.keys(configSchema.shape));
  const map = existsSync(mapPath) ? readJson(mapPath, mapSchema) : {};
  const file = readFile(dir, config);
  const added = withDeclared(dir, file, config);
  const ids = new Map([...file.model.ids, ...added.map(({ content, id }) => [content, id] as const)]);
  const idOf = (path: string, key: string, name: string): number => {
    const id = ids.get(name);
    if (id !== undefined) return id;
    throw new DataError(`${path}: ${key} is ${name}, which is not in ${basename(file.path)}`);
  };
  const named = (key: keyof typeof names): number | null => {
    const inConfig = config?.[key];
    const name = inConfig === undefined ? (map[key] ?? file.named?.[key]) : inConfig;
    return name ? idOf(inConfig === undefined ? mapPath : configPath, `"${key}"`, name) : null;
  };
  const [bosId, eosId, padId] = [named('bos_token'), named('eos_token'), named('pad_token')];
  const special = [bosId, eosId, padId].filter(
    (id) => id !== null && added.every((token) => token.id !== id),
  );
  for (const id of new Set(special as number[])) {
    const content = [...ids].find(([, other]) => other === id)?.[0] as string;
    added.push({ ...plain, id, content, special: true, normalized: false });
  }
  const template =
    bosId === null ? [] : file.opening.map((name) => idOf(file.path, 'a text begins with what', name));
  const opening =
    config?.add_bos_token == null ? template : config.add_bos_token && bosId !== null ? [bosId] : [];
  return newTokenizer({ ...file, added }, { bosId, eosId, padId, opening });
}

function readFile(dir: string, config: Config | undefined): TokenizerParts {
  const [json, piece, vocab, merges] = ['tokenizer.json', 'tokenizer.model', 'vocab.json', 'merges.txt'].map(
    (name) => join(dir, name),
  );
  const needConfig = (): void => {
    if (!config) throw new DataError(`${dir}: tokenizer_config.json must be beside the tokenizer`);
  };
  if (existsSync(json)) {
    needConfig();
    return readTokenizerJson(json, readJson(json, z.unknown()));
  }
  if (existsSync(piece)) return readSentencePiece(piece, config?.legacy ?? false);
  if (existsSync(vocab) && existsSync(merges)) {
    needConfig();
    const path = join(dir, 'config.json');
    const { model_type: modelType } = existsSync(path) ? readJson(path, modelSchema) : {};
    return readVocabAndMerges(vocab, merges, { tokenizerClass: config?.tokenizer_class, modelType });
  }
  const any = 'tokenizer.json, tokenizer.model, or vocab.json and merges.txt must be there';
  throw new DataError(`${dir}: there is no tokenizer; ${any}`);
}

const plain = { single_word: false, lstrip: false, rstrip: false };

/** The tokenizer's added tokens, and after them those that stand beside it and not in it. */
function withDeclared(dir: string, file: TokenizerParts, config: Config | undefined): AddedToken[] {
  const added = [...file.added];
  const known = new Set(added.map(({ content }) => content));
  const declare = (path: string, token: AddedToken): void => {
    const id = file.model.ids.get(token.content) ?? token.id;
    if (id !== token.id) {
      throw new DataError(
        `${path}: ${token.content} has id ${token.id}, and in ${basename(file.path)} ${id}`,
      );
    }
    if (!known.has(token.content)) added.push(token);
    known.add(token.content);
  };
  for (const [id, token] of Object.entries(config?.added_tokens_decoder ?? {})) {
    declare(join(dir, 'tokenizer_config.json'), { normalized: !token.special, ...token, id: Number(id) });
  }
  const path = join(dir, 'added_tokens.json');
  const more = existsSync(path) ? readJson(path, addedTokensSchema) : {};
  for (const [content, id] of Object.entries(more)) {
    declare(path, { ...plain, id, content, special: false, normalized: true });
  }
  return added;
}
