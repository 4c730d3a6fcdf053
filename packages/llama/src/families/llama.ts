import * as z from 'zod';
import { activation } from './activation.ts';
import { commonKeys, llamaLayers, newFamily } from './family.ts';
import { positive } from './rules.ts';
import { cacheWindowKeys, cacheWindows, checkLayerTypes } from './windows.ts';

/**
 * Llama 1–3.2, Code Llama, TinyLlama, SmolLM, DeepSeek-Coder; with biases Granite Code and Qwens in Llama's
 * layout. Touvron et al. 2023, arXiv:2302.13971.
 */
export const llama = newFamily({
  modelType: 'llama',
  schema: z
    .object({
      ...commonKeys,
      ...cacheWindowKeys,
      hidden_act: activation.default('silu'),
      attention_bias: z.boolean().default(false),
      mlp_bias: z.boolean().default(false),
      rms_norm_eps: positive.default(1e-6),
    })
    .superRefine(checkLayerTypes),
  architecture: (json) => ({
    ...llamaLayers,
    normEps: json.rms_norm_eps,
    biases: { qkv: json.attention_bias, o: json.attention_bias, mlp: json.mlp_bias },
    activation: json.hidden_act,
    ...cacheWindows(json),
  }),
});
