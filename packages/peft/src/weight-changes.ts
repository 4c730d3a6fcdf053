import { ConfigError } from '@flex/base';
import type { HostArray, Tensor } from '@flex/tensor';
import { type AdapterPair, type AdapterWeights, embedding, head, rowsName } from './adapters.ts';
import { type LoraConfig, scaleOf } from './lora.ts';
import { moduleOfWeight, trainedTokens } from './whole-weights.ts';

/** A pair in the host's memory, which adds s·L·R to a weight: L [rows, r], R [r, columns]. */
export interface HostPair {
  readonly left: HostArray;
  readonly right: HostArray;
  readonly rank: number;
  readonly scale: number;
}

/** What an adapter makes of a weight W, in the host's memory. */
export interface WeightChange {
  /** What takes the place of W, of its shape. */
  readonly whole?: HostArray;
  /** Rows that take the place of those of these numbers. */
  readonly rows?: ReadonlyMap<number, HostArray>;
  /** What is added to that. */
  readonly pairs: readonly HostPair[];
  /** The norm that each row then gets, DoRA's m. */
  readonly magnitude?: HostArray;
}

/**
 * What an adapter changes, by the names of weights: all that `withAdapter` computes with. Where the model's
 * lm_head and embedding are tied and stay equal, their changes are one object. Throws ConfigError for a bias
 * of B where the layer has none that it could be added to.
 */
export async function weightChanges(
  { params, whole }: AdapterWeights,
  config: LoraConfig,
  { isTied, hasBias }: { readonly isTied: boolean; readonly hasBias: (path: string) => boolean },
): Promise<Map<string, WeightChange>> {
  const changes = new Map<string, WeightChange>();
  const biases = new Map<string, WeightChange>();
  for (const [path, pair] of params) {
    if (pair.bias) {
      if (!hasBias(path)) throw new ConfigError(withoutBias(path));
      const right = await pair.bias.data();
      biases.set(path, {
        pairs: [{ left: Float32Array.of(1), right, rank: 1, scale: scaleOf(config, path) }],
      });
    }
    const host = await hostPair(pair, path === embedding, scaleOf(config, path));
    changes.set(path, { pairs: [host], magnitude: await pair.magnitude?.data() });
  }
  for (const [path, indices] of trainedTokens(config)) {
    const rows = whole.get(rowsName(path));
    if (rows)
      changes.set(path, { ...(changes.get(path) ?? { pairs: [] }), rows: await rowsOf(rows, indices) });
  }
  for (const [name, t] of whole) {
    const kind = name.endsWith('.weight') ? changes : name.endsWith('.bias') ? biases : undefined;
    const path = moduleOfWeight(name);
    kind?.set(path, { ...(kind.get(path) ?? { pairs: [] }), whole: await t.data() });
  }
  if (isTied) tieHead(changes, config.ensureWeightTying ?? false);
  return new Map([
    ...[...changes].map(([path, change]) => [`${path}.weight`, change] as const),
    ...[...biases].map(([path, change]) => [`${path}.bias`, change] as const),
  ]);
}

/**
 * Lets a tied lm_head take part in what the embedding becomes: in all of it where tying is ensured, else in
 * rows.
 */
function tieHead(changes: Map<string, WeightChange>, ensured: boolean): void {
  const [table, own] = [changes.get(embedding), changes.get(head)];
  if (!table) return;
  const shared: WeightChange = ensured ? table : { rows: table.rows, pairs: [] };
  const isAllShared = ensured || (table.pairs.length === 0 && !table.whole);
  if (!own && isAllShared) changes.set(head, table);
  else if (own || shared.rows)
    changes.set(head, { ...shared, ...own, pairs: [...shared.pairs, ...(own?.pairs ?? [])] });
}

const withoutBias = (path: string): string =>
  `merge: the adapter of ${path} has a bias (lora_bias), and the layer has none; leave it unmerged`;

/** B·A of a linear layer; of an embedding [v, e], whose a is [r, v] and b [e, r], its transpose. */
async function hostPair({ a, b }: AdapterPair, isTable: boolean, scale: number): Promise<HostPair> {
  const [left, right] = isTable
    ? [await transposed(a), await transposed(b)]
    : [await b.data(), await a.data()];
  return { left, right, rank: a.shape[0], scale };
}

async function transposed(t: Tensor): Promise<HostArray> {
  const [rows, columns] = t.shape;
  const data = await t.data();
  return Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);
}

async function rowsOf(t: Tensor, indices: readonly number[]): Promise<Map<number, HostArray>> {
  const columns = t.shape[1];
  const data = await t.data();
  return new Map(indices.map((id, i) => [id, data.subarray(i * columns, (i + 1) * columns)]));
}
