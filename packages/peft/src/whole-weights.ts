import { ConfigError, nearestNames } from '@flex/base';
import { cast, gather, mul, type Shape, scope, type Tensor, tensor } from '@flex/tensor';
import { type AdapterWeights, embedding, head, rowsName } from './adapters.ts';
import type { LoraConfig } from './lora.ts';
import { moduleName } from './targets.ts';

// What an adapter trains besides pairs: weights whole (PEFT's modules_to_save), the model's biases (its bias),
// and rows of single tokens.

/** A model's weights by the checkpoint's names; tied embeddings are one tensor under two of them. */
export type ModelWeights = ReadonlyMap<string, Tensor>;

/**
 * Rows that are trained in place of those of a table: rows f32 [n, e], one for each of the tokens `indices`.
 */
export interface TokenRows {
  readonly indices: readonly number[];
  readonly rows: Tensor;
}

/** A model's weights, or their shapes alone; tied embeddings are one object under two names. */
export type WeightShapes = ReadonlyMap<string, { readonly shape: Shape }>;

/** The path of the module that a weight, or rows of it, belong to. */
export const moduleOfWeight = (name: string): string => name.slice(0, name.lastIndexOf('.'));

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
 * Shapes of what a config trains whole in a model, beside an adapter on `targets`, by name, in the order of
 * the model's weights: a weight whose module's path, or that of a module around it, ends in a name of
 * `modulesToSave`, as in PEFT, and the biases that `bias` means; then rows of tokens. Where tying is ensured, a
 * tied lm_head is the embedding.
 */
export function wholeShapes(
  config: LoraConfig,
  weights: WeightShapes,
  targets: readonly string[],
): Map<string, Shape> {
  const names = config.modulesToSave ?? [];
  const follows = config.ensureWeightTying ?? false;
  const shapes = new Map<string, Shape>();
  for (const [name, { shape }] of weights) {
    const path = moduleOfWeight(name);
    const isSaved = isBelow(path, names) || (follows && path === embedding && isBelow(head, names));
    const isTrained =
      isBias(name) && (config.bias === 'all' || (config.bias === 'lora_only' && targets.includes(path)));
    if (isTrained || (isSaved && !(follows && path === head))) shapes.set(name, shape);
  }
  const tokens = trainedTokens(config);
  for (const [path, indices] of tokens) {
    // Of one weight under two names the rows are trained once, as in PEFT, if they are those of the same
    // tokens.
    if (path === head && isTied(weights) && tokens.get(embedding)?.join() === indices.join()) continue;
    const width = weights.get(`${path}.weight`)?.shape[1] ?? 0;
    shapes.set(rowsName(path), [indices.length, width]);
  }
  return shapes;
}

/** Whether a weight is what is added to its module's result. */
export const isBias = (name: string): boolean => name.endsWith('.bias');

/** What is said of a config whose `bias` trains nothing; null where it does, or does not mean to. */
export function idleBias({ bias = 'none' }: LoraConfig, whole: ReadonlyMap<string, unknown>): string | null {
  if (bias === 'none' || [...whole.keys()].some(isBias)) return null;
  return `is "${bias}", which means nothing: there are no such biases`;
}

function isBelow(path: string, names: readonly string[]): boolean {
  const parts = path.split('.');
  const around = parts.map((_, i) => parts.slice(0, i + 1).join('.'));
  return names.some((name) => around.some((module) => module.endsWith(name)));
}

/**
 * The shapes of what a config trains whole beside an adapter on `targets`. Throws ConfigError for a name that
 * is no module's, a token outside the vocabulary or twice, a module that is among the targets too, and a tied
 * lm_head among the targets that is to follow the embedding.
 */
export function checkedWholeShapes(
  config: LoraConfig,
  weights: WeightShapes,
  targets: readonly string[],
): Map<string, Shape> {
  const paths = [...weights.keys()].map(moduleOfWeight);
  const unknown = config.modulesToSave?.find((name) => !paths.some((path) => isBelow(path, [name])));
  if (unknown !== undefined) {
    const near = nearestNames(unknown, [...new Set(paths.map(moduleName))], 3).join(', ');
    throw new ConfigError(
      `lora.modules_to_save: "${unknown}" is no module of the model; the nearest are ${near}`,
    );
  }
  const wrong = wrongTokens(config, weights);
  if (wrong !== null) throw new ConfigError(`lora.trainable_token_indices: ${wrong}`);
  const shapes = wholeShapes(config, weights, targets);
  const twice = wholeModules(shapes).find((path) => targets.includes(path));
  if (twice !== undefined)
    throw new ConfigError(
      `lora: "${twice}" is among the targets, and is trained whole or in rows; take one of them`,
    );
  if (config.ensureWeightTying && !isTied(weights))
    throw new ConfigError('lora.ensure_weight_tying: the model has an lm_head of its own; leave it out');
  if (config.ensureWeightTying && targets.includes(head))
    throw new ConfigError(
      'lora.ensure_weight_tying: lm_head follows embed_tokens: take that as target instead',
    );
  return shapes;
}

/** The modules whose weight, or rows of it, are trained whole. */
export const wholeModules = (whole: ReadonlyMap<string, unknown>): string[] =>
  [...whole.keys()].filter((name) => !isBias(name)).map(moduleOfWeight);

/** What a config trains whole, as the model has it: f32. Throws what checkedWholeShapes throws. */
export function initWhole(
  config: LoraConfig,
  weights: ModelWeights,
  targets: readonly string[],
): Map<string, Tensor> {
  const shapes = checkedWholeShapes(config, weights, targets);
  const tokens = trainedTokens(config);
  const fresh = (name: string): Tensor => {
    const own = weights.get(name);
    // A product, so that it is another tensor than the model's, which is not the run's to free.
    if (own) return mul(cast(own, 'f32'), 1);
    const path = moduleOfWeight(name);
    const table = weights.get(`${path}.weight`)!;
    const indices = Int32Array.from(tokens.get(path)!);
    return gather(table, tensor(table.backend, indices, [indices.length], 'i32'));
  };
  return new Map([...shapes.keys()].map((name) => [name, scope(() => fresh(name))]));
}

/**
 * What is wrong with the tokens whose rows are trained in a model of these weights; null where nothing is:
 * they must be different ones of its vocabulary.
 */
export function wrongTokens(config: LoraConfig, weights: WeightShapes): string | null {
  for (const [path, indices] of trainedTokens(config)) {
    const v = weights.get(`${path}.weight`)?.shape[0] ?? Infinity;
    const wrong = indices.find((id, i) => !(id >= 0 && id < v) || indices.indexOf(id) !== i);
    if (wrong !== undefined)
      return `must be different tokens of ${path}, each in [0, ${v}); ${wrong} is not, or is there twice`;
  }
  return null;
}
