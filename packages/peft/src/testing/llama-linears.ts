import type { Linears } from '../targets.ts';

/** The linear layers of a Llama of this shape, in model order. */
export function llamaLinears(layers: number, e = 64, f = 172, kv = 32, v = 320): Linears {
  const linears = new Map<string, { out: number; in: number }>();
  for (let i = 0; i < layers; i++) {
    for (const name of ['q_proj', 'k_proj', 'v_proj', 'o_proj']) {
      const out = name === 'k_proj' || name === 'v_proj' ? kv : e;
      linears.set(`model.layers.${i}.self_attn.${name}`, { out, in: e });
    }
    for (const name of ['gate_proj', 'up_proj'])
      linears.set(`model.layers.${i}.mlp.${name}`, { out: f, in: e });
    linears.set(`model.layers.${i}.mlp.down_proj`, { out: e, in: f });
  }
  return linears.set('lm_head', { out: v, in: e });
}
