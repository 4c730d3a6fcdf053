import { ConfigError } from '@flex/base';
import type { ModelConfig } from '@flex/llama';

/** What llama.cpp calls a family, and what it has otherwise than transformers. */
interface GgufArchitecture {
  readonly name: string;
  /**
   * Whether rotation turns neighbours (0, 1), (2, 3), … of a head, where transformers turns its halves: rows
   * of q and k then lie in another order.
   */
  readonly turnsNeighbours: boolean;
  /** Whether the head is always the embedding. */
  readonly isAlwaysTied?: boolean;
}

/** By `model_type`. */
const architectures: Readonly<Record<string, GgufArchitecture>> = {
  llama: { name: 'llama', turnsNeighbours: true },
  mistral: { name: 'llama', turnsNeighbours: true },
  qwen2: { name: 'qwen2', turnsNeighbours: false },
  qwen3: { name: 'qwen3', turnsNeighbours: false },
  starcoder2: { name: 'starcoder2', turnsNeighbours: false },
  gemma: { name: 'gemma', turnsNeighbours: false, isAlwaysTied: true },
};

/** The activation that llama.cpp has for each architecture; it reads none from a file. */
const activations: Readonly<Record<string, string>> = { gemma: 'gelu_tanh', starcoder2: 'gelu_tanh' };

/** Whether llama.cpp's layers have biases; what is left out, may. */
const hasBiases: Readonly<Record<string, Partial<ModelConfig['biases']>>> = {
  llama: {},
  qwen2: { qkv: true, o: false, mlp: false },
  qwen3: { qkv: false, o: false, mlp: false },
  starcoder2: { qkv: true, o: true, mlp: true },
  gemma: { qkv: false, o: false, mlp: false },
};

const biasWords = { qkv: 'q, k and v', o: "the attention's output", mlp: 'the feed-forward layers' };

/**
 * What llama.cpp calls a model's family. Throws ConfigError for one that it has no name for, and for what a
 * model has that llama.cpp's of that name has not.
 */
export function ggufArchitecture(config: ModelConfig, isTied: boolean): GgufArchitecture {
  const { modelType, activation, biases, ropeScaling } = config;
  const found = architectures[modelType];
  const refuse = (what: string): never => {
    throw new ConfigError(`gguf: ${what}`);
  };
  if (!found) {
    return refuse(
      `llama.cpp has no name here for "${modelType}"; ${Object.keys(architectures).join(', ')} have`,
    );
  }
  const { name } = found;
  const wanted = activations[name] ?? 'silu';
  if (activation !== wanted)
    refuse(`llama.cpp's ${name} computes ${wanted}, and the model has "hidden_act" ${activation}`);
  const has = hasBiases[name];
  for (const part of ['qkv', 'o', 'mlp'] as const) {
    if (has[part] !== undefined && has[part] !== biases[part]) {
      const without = has[part] ? 'with' : 'without';
      refuse(`llama.cpp's ${name} is ${without} biases of ${biasWords[part]}, and the model is not`);
    }
  }
  if (found.isAlwaysTied && !isTied)
    refuse(`llama.cpp's ${name} has no head of its own, and the model's is not the embedding`);
  const wrong = wrongScaling(ropeScaling);
  if (wrong) refuse(wrong);
  return found;
}

/** What llama.cpp's rotary scaling of that name has not; null: nothing. */
function wrongScaling(scaling: ModelConfig['ropeScaling']): string | null {
  if (scaling?.type === 'dynamic' || scaling?.type === 'longrope')
    return `llama.cpp computes no rotary scaling "${scaling.type}" as transformers does`;
  if (scaling?.type !== 'yarn') return null;
  const { factor, attentionFactor, betaFast, betaSlow, truncate } = scaling;
  const usual = Math.abs(attentionFactor - (0.1 * Math.log(factor) + 1)) < 1e-6;
  if (usual && betaFast === 32 && betaSlow === 1 && truncate) return null;
  return "llama.cpp's yarn has an attention factor of 0.1·ln(factor) + 1, and betas of 32 and 1, and the model's others";
}

const modules: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
  'mlp.c_fc': 'ffn_up',
  'mlp.c_proj': 'ffn_down',
};

const outer: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
};

/** llama.cpp's name of a weight or a bias. */
export function ggufName(name: string): string {
  const [, path, member] = /^(.*)\.(weight|bias)$/.exec(name)!;
  const [, layer, module] = /^model\.layers\.(\d+)\.(.*)$/.exec(path) ?? [];
  return layer === undefined ? `${outer[path]}.${member}` : `blk.${layer}.${modules[module]}.${member}`;
}
