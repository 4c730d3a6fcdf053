import {
  broadcastTo,
  cast,
  donate,
  gather,
  keep,
  reshape,
  scope,
  setRows,
  type Tensor,
  tensor,
  zeros,
} from '@flex/tensor';
import type { CausalLM } from './model.ts';
import type { KeysAndValues } from './past.ts';

/** Columns by which a cache grows. */
export const columnsAtOnce = 64;

/**
 * Keys and values of several texts, a row each: those of token i of a text are column i of its row, in every
 * layer. They are written in place; in f16, but in f32 for a model whose matrices all are.
 */
export interface KvCache {
  /** Makes room for texts of this length. Columns that were not written are zeros. */
  reserve(length: number): void;
  /** Writes tokens of a row from column `start` on: f32 [1, t, kv, d]. */
  fill(layer: number, row: number, fresh: KeysAndValues, start: number): void;
  /**
   * Writes tokens of each row, f32 [rows, t, kv, d], from columns i32 [rows] on, and none at −t. Gives what
   * all tokens of the layer have: [rows, columns, kv, d].
   */
  append(layer: number, fresh: KeysAndValues, columns: Tensor): KeysAndValues;
  /** Row `to` begins as row `from` does, with its first `length` columns. */
  share(from: number, to: number, length: number): void;
  /** Columns `start` … `end` − 1 of row i become those that row from[i] has; further rows stay. */
  copy(from: readonly number[], start: number, end: number): void;
  /** Empties it; it may be filled again. */
  dispose(): void;
}

/** An empty cache, of the model's own type if none is given. */
export function newKvCache(model: CausalLM, rows: number, dtype: 'f32' | 'f16' = cacheType(model)): KvCache {
  const { backend, config } = model;
  const { kvHeads, headDim } = config;
  const width = kvHeads * headDim;
  let columns = 0;
  /** [rows, columns, kv·d] each. */
  let layers: readonly KeysAndValues[] = [];

  const integers = (values: readonly number[], shape = [values.length]) =>
    tensor(backend, Int32Array.from(values), shape, 'i32');
  /** Replaces the caches of a layer by what `next` makes of them, which it gives up. */
  const replace = (layer: number, next: (x: Tensor, name: keyof KeysAndValues) => Tensor): void => {
    const { k, v } = layers[layer];
    const made = keep(scope(() => ({ k: next(k, 'k'), v: next(v, 'v') })));
    layers = layers.with(layer, made);
  };
  const empty = (): Tensor => cast(broadcastTo(zeros(backend, [1]), [rows, columns, width]), dtype);

  return {
    reserve(length) {
      scope(() => {
        if (length <= columns) return;
        columns = Math.ceil(length / columnsAtOnce) * columnsAtOnce;
        if (layers.length === 0) {
          const layer = () => scope(() => ({ k: empty(), v: empty() }));
          layers = keep(Array.from({ length: config.layers }, layer));
          return;
        }
        const first = integers(Array(rows).fill(0));
        for (const layer of layers.keys()) {
          replace(layer, (x) => {
            const grown = setRows(donate(empty()), x, first);
            x.dispose();
            return grown;
          });
        }
      });
    },
    fill(layer, row, fresh, start) {
      scope(() => {
        // All rows as one, so that one of them can be written alone.
        const at = integers([row * columns + start]);
        const asOne = [1, rows * columns, width];
        replace(layer, (x, name) => {
          const [, t] = fresh[name].shape;
          const written = setRows(donate(reshaped(x, asOne)), reshape(fresh[name], [1, t, width]), at);
          return reshaped(written, [rows, columns, width]);
        });
      });
    },
    append(layer, fresh, at) {
      replace(layer, (x, name) => {
        const [, t] = fresh[name].shape;
        return setRows(donate(x), reshape(fresh[name], [rows, t, width]), at);
      });
      const { k, v } = layers[layer];
      const byHead = (x: Tensor) => reshape(x, [rows, columns, kvHeads, headDim]);
      return { k: byHead(k), v: byHead(v) };
    },
    share(from, to, length) {
      scope(() => {
        const source = integers(
          Array.from({ length }, (_, i) => from * columns + i),
          [1, length],
        );
        const at = integers([to * columns]);
        for (const layer of layers.keys()) {
          replace(layer, (x) => {
            const all = reshaped(x, [1, rows * columns, width]);
            const table = reshape(all, [rows * columns, width]);
            const read = gather(table, source);
            table.dispose();
            return reshaped(setRows(donate(all), read, at), [rows, columns, width]);
          });
        }
      });
    },
    copy(from, start, end) {
      scope(() => {
        const t = end - start;
        const moved = (row: number) => row < from.length && from[row] !== row;
        const at = integers(Array.from({ length: rows }, (_, row) => (moved(row) ? start : columns)));
        const sources = integers(
          Array.from(
            { length: rows * t },
            (_, i) => (from[Math.floor(i / t)] ?? 0) * columns + start + (i % t),
          ),
          [rows, t],
        );
        for (const layer of layers.keys()) {
          replace(layer, (x) => {
            // All of them are read before one is written.
            const table = reshape(x, [rows * columns, width]);
            const read = gather(table, sources);
            table.dispose();
            return setRows(donate(x), read, at);
          });
        }
      });
    },
    dispose() {
      for (const { k, v } of layers) {
        k.dispose();
        v.dispose();
      }
      layers = [];
      columns = 0;
    },
  };
}

function cacheType({ weights }: CausalLM): 'f32' | 'f16' {
  return [...weights.values()].every(({ shape, dtype }) => shape.length < 2 || dtype === 'f32')
    ? 'f32'
    : 'f16';
}

/** The tensor in another shape, in place of itself: the memory has one owner as before. */
function reshaped(x: Tensor, shape: readonly number[]): Tensor {
  const view = reshape(x, shape);
  if (view !== x) x.dispose();
  return view;
}
