import * as z from 'zod';
import { activation } from './activation.ts';
import { commonKeys, llamaLayers, newFamily } from './family.ts';
import { count, id, ids, positive } from './rules.ts';
import { checkLayerTypes, qwenWindowKeys, qwenWindows } from './windows.ts';

/** Qwen3: norms on queries and keys, heads of a size of their own. Yang et al. 2025, arXiv:2505.09388. */
export const qwen3 = newFamily({
  modelType: 'qwen3',
  schema: z
    .object({
      ...commonKeys,
      ...qwenWindowKeys,
      num_key_value_heads: count.nullable().default(32),
      head_dim: count.default(128),
      max_position_embeddings: count.default(32768),
      bos_token_id: id.nullable().default(null),
      eos_token_id: ids.default(null),
      hidden_act: activation.default('silu'),
      attention_bias: z.boolean().default(false),
      rms_norm_eps: positive.default(1e-6),
    })
    .superRefine(checkLayerTypes),
  architecture: (json) => ({
    ...llamaLayers,
    normEps: json.rms_norm_eps,
    biases: { qkv: json.attention_bias, o: json.attention_bias, mlp: false },
    qkNorm: true,
    activation: json.hidden_act,
    ...qwenWindows(json),
  }),
});
