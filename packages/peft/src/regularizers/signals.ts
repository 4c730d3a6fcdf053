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
  /** What the rows come from, in their order: a tensor's name, a module's path, or `all`. */
  readonly sources: readonly { readonly name: string; readonly rows: number }[];
}

/** The signals of an adapter, those of one length together. Throws ConfigError when `change` has no start. */
export function signalGroups(adapters: Adapters, options: SignalOptions, start?: Adapters): SignalGroup[] {
  const all = [...matricesOf(adapters, options, start)].map(([name, matrix]) => {
    return { name, signal: flatten(matrix, options) };
  });
  if (all.length === 0) throw new ConfigError(`fourier: the adapter has nothing for scope ${options.scope}`);
  const joined = (group: typeof all, axis: 0 | 1): Tensor => {
    const signals = concat(
      group.map(({ signal }) => signal),
      axis,
    );
    return options.order === 'permuted'
      ? reorder(signals, permutation(signals.shape[1], options.permutationSeed))
      : signals;
  };
  if (options.scope === 'concatenated') {
    return [{ signals: joined(all, 1), sources: [{ name: 'all', rows: 1 }] }];
  }
  const lengths = new Set(all.map(({ signal }) => signal.shape[1]));
  return [...lengths].map((length) => {
    const group = all.filter(({ signal }) => signal.shape[1] === length);
    const sources = group.map(({ name, signal }) => ({ name, rows: signal.shape[0] }));
    return { signals: joined(group, 0), sources };
  });
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

/** f32 [rows, columns] → f32 [1, rows·columns]; as it is where each row is a signal. */
function flatten(matrix: Tensor, { order }: SignalOptions): Tensor {
  if (order === 'each-row') return matrix;
  return reshape(order === 'column' ? permute(matrix, [1, 0]) : matrix, [1, size(matrix.shape)]);
}

const permutationStream = 0x5f0f;

/**
 * A permutation of 0 … length − 1: Fisher and Yates' shuffle with numbers that the seed, the stream and the
 * length decide.
 */
export function permutation(length: number, seed: number, stream = permutationStream): Int32Array {
  const places = Int32Array.from({ length }, (_, i) => i);
  const words = new Uint32Array(4);
  for (let i = length - 1; i > 0; i--) {
    philox(words, [seed, stream], [i, length, 0, 0]);
    const j = Math.floor((words[0] / 2 ** 32) * (i + 1));
    [places[i], places[j]] = [places[j], places[i]];
  }
  return places;
}
