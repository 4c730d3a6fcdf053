import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, printable } from '@flex/base';
import * as z from 'zod';
import { type Architecture, familyOf, modelTypes } from './families/index.ts';
import { ids } from './families/rules.ts';
import { checkContent, readJson, requireDirectory, requireSpelled } from './read-json.ts';
import { type Rope, readRope } from './rope.ts';

/** The shape of a model, from its config.json. */
export interface ModelConfig extends Rope, Architecture {
  /** Its family: `model_type`. */
  readonly modelType: string;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Key-value heads; a divisor of `heads`. */
  readonly kvHeads: number;
  /** Size of a head; even. heads · headDim need not be hiddenSize. */
  readonly headDim: number;
  readonly vocabSize: number;
  /** Longest context, in tokens. */
  readonly maxPositions: number;
  readonly tieWordEmbeddings: boolean;
  readonly bosId: number | null;
  /** Any of these ends a generation; those of generation_config.json where it has some. */
  readonly eosIds: readonly number[];
  /** Dtype of the stored weights, as the configuration says, f32 for float64; null where it does not. */
  readonly torchDtype: 'f32' | 'f16' | 'bf16' | null;
}

const dtypes = { auto: null, float64: 'f32', float32: 'f32', float16: 'f16', bfloat16: 'bf16' } as const;

const typeSchema = z.looseObject({ model_type: z.string() });

/**
 * The configuration in a Hugging Face directory, in the layout of transformers 4 (`rope_theta`,
 * `rope_scaling`, `torch_dtype`) or of transformers 5 (`rope_parameters`, `dtype`).
 *
 * Throws DataError naming the file, the key, what it may be and what it is: for a missing file, a wrong
 * value, and for what is not supported, such as another family, activation or rotary scaling, quantization.
 */
export function readConfig(dir: string): ModelConfig {
  requireDirectory(dir);
  const path = join(dir, 'config.json');
  if (!existsSync(path))
    throw new DataError(`${dir}: has no config.json; give a Hugging Face model directory`);
  const content = readJson(path, typeSchema);
  const { model_type: modelType } = content;
  const family = familyOf(modelType);
  if (!family) {
    const known = modelTypes.join(', ');
    throw new DataError(
      `${path}: "model_type" is ${printable(modelType)}, a family that is not supported; known are ${known}`,
    );
  }
  const json = checkContent(path, [], content, family.schema);
  requireSpelled(path, content, ['model_type', ...Object.keys(family.schema.shape)]);
  const fail = (what: string): never => {
    throw new DataError(`${path}: ${what}`);
  };
  const heads = json.num_attention_heads;
  const kvHeads = json.num_key_value_heads ?? heads;
  const headDim = json.head_dim ?? json.hidden_size / heads;
  const dtype = json.dtype ?? json.torch_dtype;
  if (heads % kvHeads !== 0) {
    fail(`"num_key_value_heads" is wrong: must divide the ${heads} attention heads; it is ${kvHeads}`);
  }
  if (!Number.isInteger(headDim)) {
    fail(
      `"hidden_size" is wrong: must be a multiple of the ${heads} attention heads; it is ${json.hidden_size}`,
    );
  }
  if (headDim % 2 !== 0) {
    const key = json.head_dim == null ? 'hidden_size / num_attention_heads' : 'head_dim';
    fail(`"${key}" is wrong: must be even for rotary embeddings; it is ${headDim}`);
  }
  return {
    modelType,
    ...family.architecture(json),
    hiddenSize: json.hidden_size,
    intermediateSize: json.intermediate_size,
    layers: json.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    vocabSize: json.vocab_size,
    ...readRope(path, json, headDim),
    maxPositions: json.max_position_embeddings,
    tieWordEmbeddings: json.tie_word_embeddings,
    bosId: idsOf(json.bos_token_id)[0] ?? null,
    eosIds: readGenerationEos(dir) ?? idsOf(json.eos_token_id),
    torchDtype: dtype ? dtypes[dtype] : null,
  };
}

/** The end-of-text ids of generation_config.json, which replace those of config.json; undefined if none. */
function readGenerationEos(dir: string): readonly number[] | undefined {
  const path = join(dir, 'generation_config.json');
  if (!existsSync(path)) return undefined;
  const { eos_token_id: eos } = readJson(path, z.object({ eos_token_id: ids }));
  return eos == null ? undefined : idsOf(eos);
}

/** The ids of tokens that there are: none of a negative one. */
function idsOf(ids: number | readonly number[] | null | undefined): readonly number[] {
  return [ids ?? []].flat().filter((id) => id >= 0);
}
