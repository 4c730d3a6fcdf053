import * as z from 'zod';
import { activation } from './activation.ts';
import { commonKeys, llamaLayers, newFamily } from './family.ts';
import { count, id, ids, positive } from './rules.ts';
import { noLayerTypes, sameWindows } from './windows.ts';

/**
 * StarCoder2: layer normalisation, biases everywhere, a feed-forward layer without a gate. Lozhkov et al.
 * 2024, arXiv:2402.19173.
 */
export const starcoder2 = newFamily({
  modelType: 'starcoder2',
  schema: z.object({
    ...commonKeys,
    num_key_value_heads: count.default(2),
    max_position_embeddings: count.default(4096),
    tie_word_embeddings: z.boolean().default(true),
    bos_token_id: id.nullable().default(50256),
    eos_token_id: ids.default(50256),
    hidden_act: activation.default('gelu_tanh'),
    sliding_window: count.nullable().default(null),
    layer_types: noLayerTypes,
    use_bias: z.boolean().default(true),
    norm_epsilon: positive.default(1e-5),
  }),
  architecture: (json) => ({
    ...llamaLayers,
    norm: 'layer',
    normEps: json.norm_epsilon,
    biases: { qkv: json.use_bias, o: json.use_bias, mlp: json.use_bias },
    mlp: 'plain',
    activation: json.hidden_act,
    ...sameWindows(json.num_hidden_layers, json.sliding_window),
  }),
});
