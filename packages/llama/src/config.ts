import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import * as z from 'zod';
import { checkContent, readJson, requireDirectory } from './read-json.ts';

/** How rotary frequencies are changed for contexts longer than those of pretraining. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      /** Context of pretraining, in tokens. */
      readonly originalMaxPositions: number;
    };

/** The shape of a Llama model, from its config.json. */
export interface LlamaConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  /** Key-value heads; a divisor of `heads`. */
  readonly kvHeads: number;
  /** Size of a head; even. heads · headDim need not be hiddenSize. */
  readonly headDim: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  /** Longest context, in tokens. */
  readonly maxPositions: number;
  readonly tieWordEmbeddings: boolean;
  readonly bosId: number | null;
  /** Any of these ends a generation; those of generation_config.json where it has some. */
  readonly eosIds: readonly number[];
  /** Dtype of the stored weights, as the configuration says; null where it does not. */
  readonly torchDtype: 'f32' | 'f16' | 'bf16' | null;
}

const countRule = 'must be a whole number > 0';
const count = z.int(countRule).positive(countRule);
const idRule = 'must be a token id, a whole number ≥ 0';
const id = z.int(idRule).nonnegative(idRule);
const ids = z.union([id, z.array(id)], 'must be a token id or a list of them').nullish();
const positiveRule = 'must be a number > 0';
const positive = z.number(positiveRule).positive(positiveRule);
const factorRule = 'must be a number ≥ 1';
const factor = z.number(factorRule).min(1, factorRule);
const absent = (feature: string) =>
  z.literal(false, `must be false: ${feature} not supported`).default(false);

const wholeHead = z.literal(1, 'must be 1: partly rotated heads are not supported').optional();

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  /** The name of rope_type in older files. */
  type: z.string().optional(),
  rope_theta: positive.optional(),
  partial_rotary_factor: wholeHead,
});

const linearSchema = z.object({ factor });

const llama3Schema = z
  .object({
    factor,
    low_freq_factor: positive,
    high_freq_factor: positive,
    original_max_position_embeddings: count,
  })
  .refine((rope) => rope.high_freq_factor > rope.low_freq_factor, {
    path: ['high_freq_factor'],
    message: 'must be greater than low_freq_factor',
  });

const dtypes = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' } as const;
const dtypeSchema = z
  .enum(['float32', 'float16', 'bfloat16'], 'must be float32, float16 or bfloat16')
  .nullish();

/** What is used of config.json; where a key may be missing, the default is transformers'. */
const configSchema = z.object({
  model_type: z.literal('llama', 'must be "llama": other architectures are not supported'),
  hidden_act: z.literal('silu', 'must be "silu": other activations are not supported').default('silu'),
  attention_bias: absent('biases of the attention are'),
  mlp_bias: absent('biases of the feed-forward layers are'),
  quantization_config: z.null('must be absent: quantized weights are not supported').optional(),
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  vocab_size: count,
  rms_norm_eps: positive.default(1e-6),
  max_position_embeddings: count.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  bos_token_id: id.nullable().default(1),
  eos_token_id: ids.default(2),
  rope_theta: positive.optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  original_max_position_embeddings: count.optional(),
  partial_rotary_factor: wholeHead,
  torch_dtype: dtypeSchema,
  dtype: dtypeSchema,
});

type ConfigJson = z.infer<typeof configSchema>;

/**
 * The configuration in a Hugging Face Llama directory, in the layout of transformers 4 (`rope_theta`,
 * `rope_scaling`, `torch_dtype`) or of transformers 5 (`rope_parameters`, `dtype`).
 *
 * Throws DataError naming the file, the key, what it may be and what it is: for a missing file, a wrong
 * value, and for what is not supported, such as another architecture, activation or rotary scaling, biases,
 * quantization.
 */
export function readLlamaConfig(dir: string): LlamaConfig {
  requireDirectory(dir);
  const path = join(dir, 'config.json');
  if (!existsSync(path))
    throw new DataError(`${dir}: has no config.json; give a Hugging Face Llama directory`);
  const json = readJson(path, configSchema);
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
    hiddenSize: json.hidden_size,
    intermediateSize: json.intermediate_size,
    layers: json.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    vocabSize: json.vocab_size,
    rmsNormEps: json.rms_norm_eps,
    ...readRope(path, json),
    maxPositions: json.max_position_embeddings,
    tieWordEmbeddings: json.tie_word_embeddings,
    bosId: json.bos_token_id,
    eosIds: readGenerationEos(dir) ?? asList(json.eos_token_id),
    torchDtype: dtype ? dtypes[dtype] : null,
  };
}

/**
 * As transformers reads a file with both layouts: a `rope_scaling` that says something is the only one read.
 */
function readRope(path: string, json: ConfigJson): Pick<LlamaConfig, 'ropeTheta' | 'ropeScaling'> {
  const key = Object.keys(json.rope_scaling ?? {}).length > 0 ? 'rope_scaling' : 'rope_parameters';
  const rope = json[key];
  const outer = json.rope_theta;
  const inner = rope?.rope_theta;
  if (outer !== undefined && inner !== undefined && outer !== inner) {
    throw new DataError(
      `${path}: "rope_theta" is ${outer}, but "${key}.rope_theta" is ${inner}; they must agree`,
    );
  }
  return { ropeTheta: inner ?? outer ?? 10000, ropeScaling: readScaling(path, key, json) };
}

function readScaling(
  path: string,
  key: 'rope_scaling' | 'rope_parameters',
  json: ConfigJson,
): RopeScaling | null {
  const rope = json[key];
  const type = rope?.rope_type ?? rope?.type ?? 'default';
  if (type === 'default') return null;
  if (type === 'linear') {
    return { type, factor: checkContent(path, [key], rope, linearSchema).factor };
  }
  if (type === 'llama3') {
    // As in transformers: a context of pretraining beside the layout counts for more than one inside it.
    const { original_max_position_embeddings: outer } = json;
    const original = outer === undefined ? {} : { original_max_position_embeddings: outer };
    const found = checkContent(path, [key], { ...rope, ...original }, llama3Schema);
    return {
      type,
      factor: found.factor,
      lowFreqFactor: found.low_freq_factor,
      highFreqFactor: found.high_freq_factor,
      originalMaxPositions: found.original_max_position_embeddings,
    };
  }
  const known = 'default, linear and llama3 are';
  throw new DataError(`${path}: "${key}.rope_type" is ${type}, a scaling that is not supported; ${known}`);
}

/** The end-of-text ids of generation_config.json, which replace those of config.json; undefined if none. */
function readGenerationEos(dir: string): readonly number[] | undefined {
  const path = join(dir, 'generation_config.json');
  if (!existsSync(path)) return undefined;
  const { eos_token_id: eos } = readJson(path, z.object({ eos_token_id: ids }));
  return eos == null ? undefined : asList(eos);
}

function asList(eos: number | readonly number[] | null | undefined): readonly number[] {
  if (eos == null) return [];
  return typeof eos === 'number' ? [eos] : eos;
}

/**
 * Rotary frequencies in radians a token, f64 [headDim / 2]: fᵢ = θ^(−2i / headDim).
 *
 * linear: fᵢ / factor (Chen et al. 2023, position interpolation, arXiv:2306.15595).
 * llama3, by the wavelength 2π/f against the context c of pretraining: f where it is shorter than
 * c / highFreqFactor, f / factor where it is longer than c / lowFreqFactor, and between them
 * (1 − s)·f / factor + s·f with s = (c·f / 2π − lowFreqFactor) / (highFreqFactor − lowFreqFactor) (Llama 3.1,
 * as in transformers' modeling_rope_utils). θ: Su et al. 2021, RoFormer, arXiv:2104.09864.
 */
export function inverseFrequencies(config: LlamaConfig): Float64Array {
  const { headDim, ropeTheta, ropeScaling } = config;
  const plain = Float64Array.from({ length: headDim / 2 }, (_, i) => ropeTheta ** ((-2 * i) / headDim));
  if (ropeScaling === null) return plain;
  if (ropeScaling.type === 'linear') return plain.map((f) => f / ropeScaling.factor);
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = ropeScaling;
  return plain.map((f) => {
    const turns = (originalMaxPositions * f) / (2 * Math.PI);
    // Clamped, the blend is also the two ends: s = 1 keeps f, s = 0 divides it.
    const s = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
    return ((1 - s) * f) / factor + s * f;
  });
}
