import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { type ModelConfig, readJson, vocabAndMerges } from '@flex/llama';
import * as z from 'zod';
import { bool, float32s, type GgufValue, int32s, string, strings, uint32 } from './gguf-format.ts';
import {
  type AddedToken,
  addedToken,
  type Token,
  tokenTypes,
  type Vocabulary,
  vocabularyOfJson,
  vocabularyOfPieces,
} from './vocabulary.ts';

const tokenSchema = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)])
  .nullish();
const configSchema = z.looseObject({
  bos_token: tokenSchema,
  eos_token: tokenSchema,
  unk_token: tokenSchema,
  pad_token: tokenSchema,
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  tokenizer_class: z.string().nullish(),
  added_tokens_decoder: z
    .record(
      z.string().regex(/^\d+$/),
      z.looseObject({ content: z.string(), special: z.boolean().default(false) }),
    )
    .nullish(),
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
});

type Config = z.infer<typeof configSchema>;
const addedSchema = z.record(z.string(), z.int().nonnegative());

/** Tokens between which a model fills in, under the keys that a file has for their ids. */
const infill = [
  { pre: '▁<PRE>', suf: '▁<SUF>', mid: '▁<MID>' },
  { pre: '<fim_prefix>', suf: '<fim_suffix>', mid: '<fim_middle>' },
  { pre: '<|fim_prefix|>', suf: '<|fim_suffix|>', mid: '<|fim_middle|>' },
  { pre: '<｜fim▁begin｜>', suf: '<｜fim▁hole｜>', mid: '<｜fim▁end｜>' },
] as const;

/**
 * What a GGUF file says of the tokenizer in a Hugging Face model directory, from tokenizer.json, else
 * tokenizer.model, else vocab.json and merges.txt: SentencePiece's BPE (`llama`) with a score a token, or
 * byte-level BPE (`gpt2`) with its merges; a token for every row of the embedding. Throws DataError for files
 * that are missing or malformed, and ConfigError for a tokenizer that llama.cpp has not.
 */
export function tokenizerGguf(
  dir: string,
  { vocabSize, modelType }: Pick<ModelConfig, 'vocabSize' | 'modelType'>,
): Map<string, GgufValue> {
  const configPath = join(dir, 'tokenizer_config.json');
  const config = existsSync(configPath) ? readJson(configPath, configSchema) : {};
  const vocabulary = readVocabulary(dir, config, modelType);
  const { merges, splitting, opening, named, putsSpaceFirst } = vocabulary;
  const tokens = tokensOf(dir, vocabulary, { added: addedTokens(dir, config), vocabSize });
  const ids = new Map([...tokens.entries()].map(([id, { text }]) => [text, id]));
  const metadata = new Map<string, GgufValue>();
  const set = (key: string, value: GgufValue) => metadata.set(`tokenizer.ggml.${key}`, value);
  set('model', string(merges ? 'gpt2' : 'llama'));
  set('pre', string(splitting));
  set('tokens', strings(tokens.map(({ text }) => text)));
  if (merges) set('merges', strings(merges));
  else set('scores', float32s(tokens.map(({ score }) => score)));
  set('token_type', int32s(tokens.map(({ type }) => type)));
  for (const [name, key] of Object.entries(idKeys)) {
    const id = ids.get(
      config[`${name as keyof typeof idKeys}_token`] ?? named[name as keyof typeof idKeys] ?? '',
    );
    if (id !== undefined) set(`${key}_token_id`, uint32(id));
  }
  const found = infill.find((parts) => Object.values(parts).every((token) => ids.has(token)));
  for (const [name, token] of Object.entries(found ?? {}))
    set(`fim_${name}_token_id`, uint32(ids.get(token)!));
  set('add_bos_token', bool(config.add_bos_token ?? opening.length > 0));
  set('add_eos_token', bool(config.add_eos_token ?? false));
  if (!merges) set('add_space_prefix', bool(putsSpaceFirst));
  const template = templateOf(dir, config.chat_template);
  if (template !== null) metadata.set('tokenizer.chat_template', string(template));
  return metadata;
}

/** A file's names of the special tokens' ids. */
const idKeys = { bos: 'bos', eos: 'eos', unk: 'unknown', pad: 'padding' } as const;

function readVocabulary(
  dir: string,
  { tokenizer_class: tokenizerClass }: Config,
  modelType: string,
): Vocabulary {
  const [json, pieces, vocab, merges] = ['tokenizer.json', 'tokenizer.model', 'vocab.json', 'merges.txt'].map(
    (name) => join(dir, name),
  );
  if (existsSync(json)) return vocabularyOfJson(json, readJson(json, z.unknown()));
  if (existsSync(pieces)) return vocabularyOfPieces(pieces);
  if (existsSync(vocab) && existsSync(merges))
    return vocabularyOfJson(vocab, vocabAndMerges(vocab, merges, { tokenizerClass, modelType }));
  const any = 'tokenizer.json, tokenizer.model, or vocab.json and merges.txt must be there';
  throw new DataError(`${dir}: ${any}, as a GGUF file holds the tokenizer too`);
}

/** Tokens that files beside the tokenizer add to it. */
function addedTokens(dir: string, { added_tokens_decoder: decoder }: Config): AddedToken[] {
  const path = join(dir, 'added_tokens.json');
  const more = Object.entries(existsSync(path) ? readJson(path, addedSchema) : {});
  return [
    ...more.map(([content, id]) => ({ id, content, special: false })),
    ...Object.entries(decoder ?? {}).map(([id, token]) => ({ ...token, id: Number(id) })),
  ];
}

/** A token for each row of the embedding; rows that no token has are unused ones. */
function tokensOf(
  dir: string,
  { tokens: own }: Vocabulary,
  { added, vocabSize }: { added: readonly AddedToken[]; vocabSize: number },
): Token[] {
  const tokens = new Map([...added.map((token) => [token.id, addedToken(token)] as const), ...own]);
  const beyond = [...tokens].find(([id]) => id >= vocabSize);
  if (beyond) {
    const [id, { text }] = beyond;
    const rows = `the model has ${vocabSize} rows for tokens; llama.cpp needs one a token`;
    throw new DataError(`${dir}: ${JSON.stringify(text)} is token ${id}, and ${rows}`);
  }
  const unused = (id: number): Token => ({ text: `[PAD${id}]`, type: tokenTypes.unused, score: 0 });
  return Array.from({ length: vocabSize }, (_, id) => tokens.get(id) ?? unused(id));
}

function templateOf(dir: string, given: Config['chat_template']): string | null {
  const own = join(dir, 'chat_template.jinja');
  if (existsSync(own)) return readFileSync(own, 'utf8');
  if (typeof given === 'string') return given;
  return given?.find(({ name }) => name === 'default')?.template ?? null;
}
