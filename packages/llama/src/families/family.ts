import * as z from 'zod';
import { ropeSchema, wholeHead } from '../rope.ts';
import type { Activation } from './activation.ts';
import { count, id, ids, positive } from './rules.ts';

/** What distinguishes the layers of one model from those of another, beside their sizes. */
export interface Architecture {
  /** What the rows of the embedding are multiplied by; the head is not. */
  readonly embeddingScale: number;
  /** w∘x / √(mean x² + ε), or the layer normalisation with a bias. */
  readonly norm: 'rms' | 'layer';
  readonly normEps: number;
  /** What stands in the checkpoint as a norm's weight is w less this. */
  readonly normOffset: 0 | 1;
  /** Which linear layers have a bias. */
  readonly biases: { readonly qkv: boolean; readonly o: boolean; readonly mlp: boolean };
  /** Whether queries and keys meet a norm of their own, head by head, before they are turned. */
  readonly qkNorm: boolean;
  /** down(act(gate x) ∘ up x), or c_proj(act(c_fc x)). */
  readonly mlp: 'gated' | 'plain';
  readonly activation: Activation;
  /** How many tokens a token sees, itself among them, by layer; null: all before it. */
  readonly windows: readonly (number | null)[];
  /** The same of a token that is decoded, behind a cache. */
  readonly cachedWindows: readonly (number | null)[];
}

/** Llama's layers, but for what a configuration says of them; a family's file has what it has otherwise. */
export const llamaLayers = {
  embeddingScale: 1,
  norm: 'rms',
  normOffset: 0,
  biases: { qkv: false, o: false, mlp: false },
  qkNorm: false,
  mlp: 'gated',
} as const satisfies Partial<Architecture>;

const dtypeRule = 'must be auto, float64, float32, float16 or bfloat16';
const dtypeSchema = z
  .string()
  .transform((name) => name.replace(/^torch\./, ''))
  .pipe(z.enum(['auto', 'float64', 'float32', 'float16', 'bfloat16'], dtypeRule))
  .nullish();

/**
 * Keys of config.json that mean the same in every family; where one may be missing, the default is
 * transformers' for Llama.
 */
export const commonKeys = {
  quantization_config: z.strictObject({}, 'must be absent: quantized weights are not supported').nullish(),
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  vocab_size: count,
  max_position_embeddings: count.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  bos_token_id: id.nullable().default(1),
  eos_token_id: ids.default(2),
  rope_theta: positive.optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  original_max_position_embeddings: count.nullish(),
  partial_rotary_factor: wholeHead,
  torch_dtype: dtypeSchema,
  dtype: dtypeSchema,
};

const commonSchema = z.object(commonKeys);

/** What every family reads of config.json. */
export type CommonJson = z.infer<typeof commonSchema>;

/** A family of models: the keys of its config.json, and the layers that they mean. */
export interface Family<Json extends CommonJson = CommonJson> {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** commonKeys, some with defaults of the family's own, and keys that are its own. */
  readonly schema: z.ZodType<Json> & { readonly shape: Readonly<Record<string, unknown>> };
  architecture(json: Json): Architecture;
}

/** Checks that a family's architecture reads what its schema gives. */
export const newFamily = <Json extends CommonJson>(family: Family<Json>): Family<Json> => family;
