import * as z from 'zod';
import { activation } from './activation.ts';
import { commonKeys, llamaLayers, newFamily } from './family.ts';
import { count, positive } from './rules.ts';
import { noLayerTypes, sameWindows } from './windows.ts';

/** Mistral, Codestral: Llama's layers, which may all have a window. Jiang et al. 2023, arXiv:2310.06825. */
export const mistral = newFamily({
  modelType: 'mistral',
  schema: z.object({
    ...commonKeys,
    num_key_value_heads: count.nullable().default(8),
    max_position_embeddings: count.default(131072),
    hidden_act: activation.default('silu'),
    sliding_window: count.nullable().default(4096),
    layer_types: noLayerTypes,
    rms_norm_eps: positive.default(1e-6),
  }),
  architecture: (json) => ({
    ...llamaLayers,
    normEps: json.rms_norm_eps,
    activation: json.hidden_act,
    ...sameWindows(json.num_hidden_layers, json.sliding_window),
  }),
});
