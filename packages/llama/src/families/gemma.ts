import * as z from 'zod';
import { activation } from './activation.ts';
import { commonKeys, llamaLayers, newFamily } from './family.ts';
import { absent, count, id, ids, positive } from './rules.ts';
import { cacheWindowKeys, cacheWindows, checkLayerTypes } from './windows.ts';

/**
 * Gemma 1 and CodeGemma: rows of the embedding times √e, norms by 1 + w, a gate of GELU. Gemma Team 2024,
 * arXiv:2403.08295. As in transformers "gelu" means the approximation by tanh.
 */
export const gemma = newFamily({
  modelType: 'gemma',
  schema: z
    .object({
      ...commonKeys,
      ...cacheWindowKeys,
      num_key_value_heads: count.default(16),
      head_dim: count.default(256),
      max_position_embeddings: count.default(8192),
      tie_word_embeddings: z.boolean().default(true),
      bos_token_id: id.nullable().default(2),
      eos_token_id: ids.default(1),
      hidden_act: activation.default('gelu_tanh'),
      attention_bias: z.boolean().default(false),
      rms_norm_eps: positive.default(1e-6),
      use_bidirectional_attention: absent('attention to later tokens is').nullable(),
    })
    .superRefine(checkLayerTypes),
  architecture: (json) => ({
    ...llamaLayers,
    embeddingScale: Math.sqrt(json.hidden_size),
    normEps: json.rms_norm_eps,
    normOffset: 1,
    biases: { qkv: json.attention_bias, o: json.attention_bias, mlp: false },
    activation: json.hidden_act === 'gelu' ? 'gelu_tanh' : json.hidden_act,
    ...cacheWindows(json),
  }),
});
