import { ConfigError } from '@flex/base';
import type { ModelConfig } from '@flex/llama';
import { type Adapter, scaleOf } from '@flex/peft';
import type { Tensor } from '@flex/tensor';
import { ggufArchitecture, ggufName } from './architecture.ts';
import { float32, type GgufType, type GgufValue, string } from './gguf-format.ts';
import { headRows, reordered } from './head-rows.ts';
import type { GgufTensor } from './write-gguf.ts';

export interface AdapterToExport {
  readonly config: ModelConfig;
  readonly adapter: Pick<Adapter, 'params' | 'whole' | 'config'>;
  /** Whether the model's head is its embedding. */
  readonly isTied: boolean;
  readonly type: Exclude<GgufType, 'Q8_0'>;
  readonly name: string;
}

const [embedding, head] = ['model.embed_tokens', 'lm_head'];

/**
 * An adapter as llama.cpp's LoRA: W + α/r·B·A with one α for all. Where modules differ in s, B has the rest
 * of it as a factor; rows of B lie as those of the model's weight do. Throws ConfigError for an adapter that
 * is more than W + s·B·A, and for what llama.cpp has not.
 */
export async function adapterGguf({
  config,
  adapter: { params, whole, config: lora },
  isTied,
  type,
  name,
}: AdapterToExport): Promise<{ metadata: Map<string, GgufValue>; tensors: GgufTensor[] }> {
  const architecture = ggufArchitecture(config, isTied);
  const more = [
    lora.dora && 'DoRA',
    lora.loraBias && 'a bias of B',
    whole.size > 0 && `${[...whole.keys()][0]}, which it replaces`,
    isTied && (params.has(head) || lora.ensureWeightTying) && 'a part for a head that is the embedding',
    params.size === 0 && 'no layers',
  ].find((what) => what);
  if (more) throw new ConfigError(`gguf: the adapter has ${more}; only W + s·B·A can be a LoRA of llama.cpp`);
  const [first] = params.keys();
  const alpha = scaleOf(lora, first) * params.get(first)!.a.shape[0];
  const tensors: GgufTensor[] = [];
  for (const [path, { a, b }] of params) {
    const own = ggufName(`${path}.weight`);
    const rank = a.shape[0];
    const factor = (scaleOf(lora, path) * rank) / alpha;
    const rows = architecture.turnsNeighbours ? headRows(`${path}.weight`, config) : null;
    const left = await valuesOf(b, factor);
    const ordered = rows ? [...reordered([left], rows, rank)] : [left];
    // Rows of an embedding are looked up, and its A lies as a table does.
    const [right, shape] =
      path === embedding
        ? [transposed(await valuesOf(a, 1), rank), [a.shape[1], rank]]
        : [await valuesOf(a, 1), a.shape];
    tensors.push({ name: `${own}.lora_a`, type, shape, values: () => [right] });
    tensors.push({ name: `${own}.lora_b`, type, shape: b.shape, values: () => ordered });
  }
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', string(architecture.name)],
    ['general.type', string('adapter')],
    ['adapter.type', string('lora')],
    ['general.name', string(name)],
    ['adapter.lora.alpha', float32(alpha)],
  ]);
  return { metadata, tensors };
}

async function valuesOf(t: Tensor, factor: number): Promise<Float32Array> {
  return Float32Array.from(await t.data(), (x) => x * factor);
}

function transposed(values: Float32Array, rows: number): Float32Array {
  const columns = values.length / rows;
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}
