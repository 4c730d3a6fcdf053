import { ConfigError, nearestNames } from '@flex/base';
import { cast, gather, mul, type Shape, type Tensor, tensor } from '@flex/tensor';
import { type AdapterWeights, embedding, head, rowsName } from './adapters.ts';
import type { LoraConfig } from './lora.ts';

// What an adapter trains besides pairs: weights whole (PEFT's modules_to_save), and rows of single tokens.

/** A model's weights by the checkpoint's names; tied embeddings are one tensor under two of them. */
export type ModelWeights = ReadonlyMap<string, Tensor>;

/** Rows that are trained in place of those of a table: rows f32 [n, e], one for each of the tokens `indices`. */
export interface TokenRows {
  readonly indices: readonly number[];
  readonly rows: Tensor;
}

/** A model's weights, or their shapes alone; tied embeddings are one object under two names. */
export type WeightShapes = ReadonlyMap<string, { readonly shape: Shape }>;

/** Whether lm_head and the embedding are one weight. */
export function isTied(weights: WeightShapes): boolean {
  const table = weights.get(`${embedding}.weight`);
  return table !== undefined && table === weights.get(`${head}.weight`);
}

/** The path of the table that a name in `trainableTokenIndices` means; undefined where it means none. */
export const tableOf = (name: string): string | undefined =>
  [embedding, head].find((path) => path.endsWith(name));

/** The tokens whose rows are trained, by the path of the table that they are rows of. */
export function trainedTokens({
  trainableTokenIndices = [],
}: LoraConfig): ReadonlyMap<string, readonly number[]> {
  const lists = Array.isArray(trainableTokenIndices)
    ? [[embedding, trainableTokenIndices] as const]
    : Object.entries(trainableTokenIndices).map(([name, indices]) => [tableOf(name), indices] as const);
  return new Map(lists.flatMap(([path, indices]) => (path && indices.length > 0 ? [[path, indices]] : [])));
}

/** The trained rows of a module's tokens; null where it has none. */
export function tokenRowsOf(
  config: LoraConfig,
  whole: AdapterWeights['whole'],
  path: string,
): TokenRows | null {
  const indices = trainedTokens(config).get(path);
  const rows = whole.get(rowsName(path));
  return indices && rows ? { indices, rows } : null;
}

/**
 * Shapes of what a config trains whole in a model, by name, in the order of the model's weights: a weight whose
 * module's path, or that of a module around it, ends in a name of `modulesToSave`, as in PEFT; then rows of tokens.
 * Where tying is ensured, a tied lm_head is the embedding.
 */
export function wholeShapes(config: LoraConfig, weights: WeightShapes): Map<string, Shape> {
  const names = config.modulesToSave ?? [];
  const follows = (config.ensureWeightTying ?? false) && isTied(weights);
  const shapes = new Map<string, Shape>();
  for (const [name, { shape }] of weights) {
    const path = name.slice(0, -'.weight'.length);
    const isSaved = isBelow(path, names) || (follows && path === embedding && isBelow(head, names));
    if (isSaved && !(follows && path === head)) shapes.set(name, shape);
  }
  const tokens = trainedTokens(config);
  for (const [path, indices] of tokens) {
    // Of one weight under two names the rows are trained once, as in PEFT, if they are those of the same tokens.
    if (path === head && isTied(weights) && tokens.get(embedding)?.join() === indices.join()) continue;
    const width = weights.get(`${path}.weight`)?.shape[1] ?? 0;
    shapes.set(rowsName(path), [indices.length, width]);
  }
  return shapes;
}

function isBelow(path: string, names: readonly string[]): boolean {
  const parts = path.split('.');
  const around = parts.map((_, i) => parts.slice(0, i + 1).join('.'));
  return names.some((name) => around.some((module) => module.endsWith(name)));
}

/**
 * What a config trains whole, as the model has it: f32. Throws ConfigError for a name that is no module's, a
 * token outside the vocabulary or twice, and rows of a weight that is trained whole.
 */
export function initWhole(config: LoraConfig, weights: ModelWeights): Map<string, Tensor> {
  const paths = [...weights.keys()].map((name) => name.slice(0, -'.weight'.length));
  const unknown = config.modulesToSave?.find((name) => !paths.some((path) => isBelow(path, [name])));
  if (unknown !== undefined) {
    const near = nearestNames(unknown, [...new Set(paths.map((path) => path.split('.').at(-1)!))], 3);
    throw new ConfigError(
      `lora.modules_to_save: "${unknown}" is no module of the model; the nearest are ${near.join(', ')}`,
    );
  }
  const tokens = trainedTokens(config);
  const fresh = (name: string): Tensor => {
    const own = weights.get(name);
    // A product, so that it is another tensor than the model's, which is not the run's to free.
    if (own) return mul(cast(own, 'f32'), 1);
    const path = name.slice(0, -rowsName('').length);
    const table = weights.get(`${path}.weight`)!;
    const indices = Int32Array.from(tokens.get(path)!);
    return gather(table, tensor(table.backend, indices, [indices.length], 'i32'));
  };
  for (const [path, indices] of tokens) checkTokens(path, indices, weights.get(`${path}.weight`)!.shape[0]);
  return new Map([...wholeShapes(config, weights).keys()].map((name) => [name, fresh(name)]));
}

function checkTokens(path: string, indices: readonly number[], v: number): void {
  const wrong = indices.find(
    (id, i) => !(Number.isInteger(id) && id >= 0 && id < v) || indices.indexOf(id) !== i,
  );
  if (wrong === undefined) return;
  throw new ConfigError(
    `lora.trainable_token_indices: must be different tokens of ${path}, each in [0, ${v}); ${wrong} is not`,
  );
}
