import * as z from 'zod';
import { activation } from './activation.ts';
import { commonKeys, llamaLayers, newFamily } from './family.ts';
import { count, id, ids, positive } from './rules.ts';
import { checkLayerTypes, qwenWindowKeys, qwenWindows } from './windows.ts';

/** Qwen2, Qwen2.5(-Coder): biases on queries, keys and values. Yang et al. 2024, arXiv:2407.10671. */
export const qwen2 = newFamily({
  modelType: 'qwen2',
  schema: z
    .object({
      ...commonKeys,
      ...qwenWindowKeys,
      num_key_value_heads: count.nullable().default(32),
      max_position_embeddings: count.default(32768),
      bos_token_id: id.nullable().default(null),
      eos_token_id: ids.default(null),
      hidden_act: activation.default('silu'),
      rms_norm_eps: positive.default(1e-6),
    })
    .superRefine(checkLayerTypes),
  architecture: (json) => ({
    ...llamaLayers,
    normEps: json.rms_norm_eps,
    biases: { qkv: true, o: false, mlp: false },
    activation: json.hidden_act,
    ...qwenWindows(json),
  }),
});
