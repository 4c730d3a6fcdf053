import { ConfigError } from '@flex/base';
import type { Tensor } from '@flex/tensor';

/** What a module's W + s·B·A adds to W: a f32 [r, in] and b f32 [out, r]. */
export type AdapterPair = {
  readonly a: Tensor;
  readonly b: Tensor;
  /** m of DoRA, the norm that each row of the adapted weight has: f32 [out]. */
  readonly magnitude?: Tensor;
  /** Of B's product, before its factor s: f32 [out]. */
  readonly bias?: Tensor;
};

/** Adapters by module path, such as `model.layers.0.mlp.gate_proj`, in model order. */
export type Adapters = ReadonlyMap<string, AdapterPair>;

/** All that a run trains, and that an adapter's files hold. */
export type AdapterWeights = {
  readonly params: Adapters;
  /**
   * Weights that take the place of the base model's, by the checkpoint's names, such as `lm_head.weight`;
   * rows that take the place of those of single tokens are `model.embed_tokens.tokens`, f32 [n, e].
   */
  readonly whole: ReadonlyMap<string, Tensor>;
};

/** The module paths of the two tables of tokens. */
export const embedding = 'model.embed_tokens';
export const head = 'lm_head';

/** The name in `whole` of the trained rows of a table's tokens. */
export const rowsName = (path: string): string => `${path}.tokens`;

/** A pair's tensors in the order of their flat names. */
const members = ['a', 'b', 'magnitude', 'bias'] as const satisfies readonly (keyof AdapterPair)[];

/** Begins the flat name of a weight that is trained whole: no module's path does. */
export const wholePrefix = 'whole:';

/** The tensors of adapters by name, a module's `<path>.a`, `.b`, `.magnitude` and `.bias` one after the other. */
export function flattenAdapters(adapters: Adapters): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const [path, pair] of adapters) {
    for (const member of members) {
      const t = pair[member];
      if (t) tensors.set(`${path}.${member}`, t);
    }
  }
  return tensors;
}

/** The adapters that `flattenAdapters` gave the names of. Throws ConfigError for a tensor without its pair. */
export function unflattenAdapters(tensors: ReadonlyMap<string, Tensor>): Map<string, AdapterPair> {
  const adapters = new Map<string, AdapterPair>();
  for (const [name, a] of tensors) {
    const path = name.slice(0, -'.a'.length);
    const [b, magnitude, bias] = ['b', 'magnitude', 'bias'].map((member) => tensors.get(`${path}.${member}`));
    if (name.endsWith('.a') && b)
      adapters.set(path, { a, b, ...(magnitude && { magnitude }), ...(bias && { bias }) });
  }
  const paired = flattenAdapters(adapters);
  const alone = [...tensors.keys()].find((name) => !paired.has(name));
  if (alone !== undefined) throw new ConfigError(`adapter: "${alone}" is no ${members.join(', ')} of a pair`);
  return adapters;
}

/** All tensors by name, as an optimizer takes them: those of `flattenAdapters`, then `whole:<name>`. */
export function flattenWeights({ params, whole }: AdapterWeights): Map<string, Tensor> {
  const named = [...whole].map(([name, t]) => [`${wholePrefix}${name}`, t] as const);
  return new Map([...flattenAdapters(params), ...named]);
}

/** What `flattenWeights` gave the names of. Throws ConfigError for a tensor without its pair. */
export function unflattenWeights(tensors: ReadonlyMap<string, Tensor>): AdapterWeights {
  const ofPairs = new Map<string, Tensor>();
  const whole = new Map<string, Tensor>();
  for (const [name, t] of tensors) {
    if (name.startsWith(wholePrefix)) whole.set(name.slice(wholePrefix.length), t);
    else ofPairs.set(name, t);
  }
  return { params: unflattenAdapters(ofPairs), whole };
}

/** The pairs' a and b alone: what regularizers see. */
export function lowRankOf(adapters: Adapters): Map<string, AdapterPair> {
  return new Map([...adapters].map(([path, { a, b }]) => [path, { a, b }]));
}
