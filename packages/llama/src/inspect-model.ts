import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DataError } from '@flex/base';
import type { SafetensorsDType } from '@flex/tensor/safetensors';
import * as z from 'zod';
import { openCheckpoint } from './checkpoint-files.ts';
import { type ModelConfig, readConfig } from './config.ts';
import { readJson } from './read-json.ts';
import { areTied, requireWeights } from './weights.ts';

/** What a model's directory holds, as its headers tell it. */
export interface ModelInspection {
  readonly dir: string;
  readonly config: ModelConfig;
  /** Those of tied embeddings once. */
  readonly parameters: number;
  /** The files with weights, and their bytes on the disk. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  /** What is stored as each type. */
  readonly stored: Readonly<Partial<Record<SafetensorsDType, StoredWeights>>>;
  readonly isTied: boolean;
  /** Null: there is none. */
  readonly tokenizer: TokenizerFiles | null;
}

export interface StoredWeights {
  readonly tensors: number;
  readonly bytes: number;
}

/** What a directory has of a tokenizer. */
export interface TokenizerFiles {
  readonly file: string;
  /** `BPE`, `Unigram`; null where the file does not tell. */
  readonly model: string | null;
  /** Tokens, added ones among them; null where only the file's own reader could tell. */
  readonly tokens: number | null;
  readonly hasChatTemplate: boolean;
}

/**
 * Looks into a Hugging Face model directory: headers are read, no weight is. Throws DataError, in one line,
 * for what is missing or damaged, and for weights that do not fit config.json.
 */
export function inspectModel(dir: string): ModelInspection {
  const config = readConfig(dir);
  const checkpoint = openCheckpoint(dir);
  try {
    requireWeights(checkpoint, config);
    const isTied = areTied(checkpoint, config);
    const stored: Partial<Record<SafetensorsDType, StoredWeights>> = {};
    let parameters = 0;
    for (const name of checkpoint.names()) {
      const { dtype, shape, bytes } = checkpoint.spec(name);
      const { tensors, bytes: before } = stored[dtype] ?? { tensors: 0, bytes: 0 };
      stored[dtype] = { tensors: tensors + 1, bytes: before + bytes };
      if (isTied && name === 'lm_head.weight' && checkpoint.has('model.embed_tokens.weight')) continue;
      parameters += shape.reduce((product, n) => product * n, 1);
    }
    const files = checkpoint.files.map((path) => ({ name: basename(path), bytes: statSync(path).size }));
    return { dir, config, parameters, files, stored, isTied, tokenizer: lookAtTokenizer(dir) };
  } finally {
    checkpoint.close();
  }
}

const tokenizerSchema = z.looseObject({
  model: z.looseObject({
    type: z.string().optional(),
    // Not a record of zod's, which looks at each of a quarter of a million entries.
    vocab: z.custom<object>(
      (vocab) => typeof vocab === 'object' && vocab !== null,
      'must be an object, or a list',
    ),
  }),
  added_tokens: z.array(z.looseObject({ content: z.string() })).default([]),
});

const templateSchema = z.looseObject({ chat_template: z.unknown().optional() });

/** Which of a tokenizer's files there are, the one that is read first. */
function lookAtTokenizer(dir: string): TokenizerFiles | null {
  const has = (name: string) => existsSync(join(dir, name));
  const inConfig = has('tokenizer_config.json')
    ? readJson(join(dir, 'tokenizer_config.json'), templateSchema).chat_template != null
    : false;
  const hasChatTemplate = inConfig || has('chat_template.jinja');
  if (has('tokenizer.json')) {
    const { model, added_tokens: added } = readJson(join(dir, 'tokenizer.json'), tokenizerSchema);
    const { vocab, type = null } = model;
    const pieces = Array.isArray(vocab) ? new Set(vocab.map((entry) => (entry as [string])[0])) : null;
    const isPiece = (text: string) => pieces?.has(text) ?? Object.hasOwn(vocab, text);
    const others = new Set(added.map(({ content }) => content).filter((text) => !isPiece(text)));
    const tokens = (pieces?.size ?? Object.keys(vocab).length) + others.size;
    return { file: 'tokenizer.json', model: type, tokens, hasChatTemplate };
  }
  if (has('tokenizer.model'))
    return { file: 'tokenizer.model', model: 'SentencePiece', tokens: null, hasChatTemplate };
  if (!has('vocab.json')) return null;
  if (!has('merges.txt')) throw new DataError(`${dir}: vocab.json has no merges.txt beside it`);
  const vocab = readJson(join(dir, 'vocab.json'), z.record(z.string(), z.number()));
  const tokens = Object.keys(vocab).length;
  return { file: 'vocab.json', model: 'BPE', tokens, hasChatTemplate };
}
