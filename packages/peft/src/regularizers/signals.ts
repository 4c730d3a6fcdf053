import { mapTree } from '@flex/autograd';
import { ConfigError } from '@flex/base';
import { concat, matmul, permute, philox, reshape, size, sub, type Tensor } from '@flex/tensor';
import { z } from 'zod';
import { type Adapters, flattenAdapters } from '../adapters.ts';
import { reorder } from './reorder.ts';

/** What is transformed, and how a matrix becomes a signal. */
export const signalSchema = z.strictObject({
  /**
   * Each A and each B by itself, the As or the Bs alone, each product B·A, all As and Bs one after the other
   * as one signal, or each A and B less what it was at the start.
   */
  scope: z.enum(['each', 'a', 'b', 'product', 'concatenated', 'change']).default('each'),
  /** Row after row, column after column, each row a signal of its own, or row after row and then shuffled. */
  order: z.enum(['row', 'column', 'each-row', 'permuted']).default('row'),
  /** Decides on the shuffle of order `permuted`, which is the same for all signals of one length. */
  permutationSeed: z.int().min(0).max(0xffffffff).default(0),
});

export type SignalOptions = z.output<typeof signalSchema>;

/** Signals of one length, one a row. */
export interface SignalGroup {
  /** f32 [rows, length]. */
  readonly signals: Tensor;
  /** What the rows come from, in their order: a parameter's name, a module's path, or `all`. */
  readonly sources: readonly { readonly name: string; readonly rows: number }[];
}

/** The signals of an adapter, those of one length together. Throws ConfigError when `change` has no start. */
export function signalGroups(adapters: Adapters, options: SignalOptions, start?: Adapters): SignalGroup[] {
  const flat = [...matricesOf(adapters, options, start)].map(([name, matrix]) => ({
    name,
    signal: flatten(matrix, options),
  }));
  if (flat.length === 0) throw new ConfigError(`fourier: the adapter has nothing for scope ${options.scope}`);
  if (options.scope === 'concatenated') {
    const signals = concat(
      flat.map(({ signal }) => signal),
      1,
    );
    return [{ signals: shuffled(signals, options), sources: [{ name: 'all', rows: 1 }] }];
  }
  const groups = new Map<number, typeof flat>();
  for (const one of flat) {
    const length = one.signal.shape[1];
    groups.set(length, [...(groups.get(length) ?? []), one]);
  }
  return [...groups.values()].map((group) => ({
    signals: shuffled(
      concat(
        group.map(({ signal }) => signal),
        0,
      ),
      options,
    ),
    sources: group.map(({ name, signal }) => ({ name, rows: signal.shape[0] })),
  }));
}

function matricesOf(
  adapters: Adapters,
  { scope }: SignalOptions,
  start?: Adapters,
): ReadonlyMap<string, Tensor> {
  if (scope === 'product') return new Map([...adapters].map(([path, { a, b }]) => [path, matmul(b, a)]));
  if (scope === 'change') {
    if (!start) throw new ConfigError('fourier: scope change needs the start of the adapter');
    return flattenAdapters(mapTree((w, before) => sub(w, before), adapters, start));
  }
  const tensors = flattenAdapters(adapters);
  if (scope === 'each' || scope === 'concatenated') return tensors;
  return new Map([...tensors].filter(([name]) => name.endsWith(`.${scope}`)));
}

function flatten(matrix: Tensor, { order }: SignalOptions): Tensor {
  if (order === 'each-row')
    return reshape(matrix, [size(matrix.shape.slice(0, -1)), matrix.shape.at(-1) ?? 1]);
  const ordered = order === 'column' ? permute(matrix, matrix.shape.map((_, i) => i).reverse()) : matrix;
  return reshape(ordered, [1, size(matrix.shape)]);
}

function shuffled(signals: Tensor, { order, permutationSeed }: SignalOptions): Tensor {
  if (order !== 'permuted') return signals;
  return reorder(signals, permutation(signals.shape[1], permutationSeed));
}

const permutationStream = 0x5f0f;

/**
 * A permutation of 0 … length − 1: Fisher and Yates' shuffle with numbers that the seed and the length
 * decide.
 */
export function permutation(length: number, seed: number): Int32Array {
  const places = Int32Array.from({ length }, (_, i) => i);
  const words = new Uint32Array(4);
  for (let i = length - 1; i > 0; i--) {
    philox(words, [seed, permutationStream], [i, length, 0, 0]);
    const j = Math.floor((words[0] / 2 ** 32) * (i + 1));
    [places[i], places[j]] = [places[j], places[i]];
  }
  return places;
}
