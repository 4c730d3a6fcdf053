import {
  add,
  causalSoftmax,
  donate,
  gather,
  pad,
  reshape,
  rope,
  scope,
  setRow,
  slice,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { forward, type LlamaModel, logits } from './model.ts';
import { causalPast, type KeysAndValues, type Past, unseenScore } from './past.ts';

/** Columns by which the caches grow. */
const columnsAtOnce = 64;

/** Texts that are decoded together, each in a slot of its own and at a length of its own. */
export interface Slots {
  /** Puts a prompt into a slot, in place of what it held. Gives the logits of its next token. */
  fill(slot: number, prompt: readonly number[]): Promise<Float32Array>;
  /** Feeds a token to each of these slots. Gives the logits of the next ones. */
  step(tokens: ReadonlyMap<number, number>): Promise<ReadonlyMap<number, Float32Array>>;
  dispose(): void;
}

/**
 * Empty slots. Every step computes all of them, empty ones too, and token i of a text is always column i of
 * its cache: so the logits of a text depend on its own tokens and on `count` alone, to the last bit, not on
 * what the other slots hold.
 */
export function newSlots(model: LlamaModel, count: number): Slots {
  const { backend, config } = model;
  const { layers: layerCount, kvHeads, headDim, hiddenSize, vocabSize } = config;
  const lengths: number[] = Array(count).fill(0);
  let columns = 0;
  /** Keys and values, f32 [count·kv, columns, d] each. */
  let layers: readonly KeysAndValues[] = [];

  const integers = (values: readonly number[], shape = [values.length]) =>
    tensor(backend, Int32Array.from(values), shape, 'i32');
  /** Replaces the caches by what `change` makes of each, and frees the old. */
  const replace = (change: (x: Tensor, layer: number, name: keyof KeysAndValues) => Tensor): void => {
    const next = scope(() =>
      layers.map(({ k, v }, layer) => ({ k: change(k, layer, 'k'), v: change(v, layer, 'v') })),
    );
    dispose();
    layers = next;
  };
  const dispose = (): void => {
    for (const { k, v } of layers) {
      k.dispose();
      v.dispose();
    }
    layers = [];
  };
  /** Makes room for texts of this length. */
  const reserve = (length: number): void => {
    if (length <= columns) return;
    const more = Math.ceil(length / columnsAtOnce) * columnsAtOnce - columns;
    if (columns > 0) replace((x) => pad(x, [0, 0, 0], [0, more, 0]));
    columns += more;
    if (layers.length > 0) return;
    const empty = () => {
      const shape = [count * kvHeads, columns, headDim];
      return tensor(backend, new Float32Array(shape[0] * shape[1] * shape[2]), shape);
    };
    layers = Array.from({ length: layerCount }, () => ({ k: empty(), v: empty() }));
  };
  const takeLogits = async (rows: Tensor): Promise<Float32Array> => {
    const values = Float32Array.from(await rows.data());
    rows.dispose();
    return values;
  };
  const lastOf = (hidden: Tensor): Tensor => {
    const [b, t] = hidden.shape;
    return logits(model, reshape(slice(hidden, [0, t - 1, 0], [b, 1, hiddenSize]), [b, hiddenSize]));
  };

  return {
    async fill(slot, prompt) {
      const t = prompt.length;
      const [rows, cache] = scope(() => {
        const past = causalPast(model, t);
        const hidden = forward(model, integers(prompt, [1, t]), { past });
        return [lastOf(hidden), past.cache()];
      });
      reserve(t + 1);
      replace((x, layer, name) => {
        const slotSize = kvHeads * columns * headDim;
        const fresh = reshape(pad(cache.layers[layer][name], [0, 0, 0], [0, columns - t, 0]), [1, slotSize]);
        return reshape(setRow(reshape(x, [1, count, slotSize]), fresh, integers([slot])), x.shape);
      });
      for (const { k, v } of cache.layers) {
        k.dispose();
        v.dispose();
      }
      lengths[slot] = t;
      return await takeLogits(rows);
    },
    async step(tokens) {
      reserve(Math.max(...[...tokens.keys()].map((slot) => lengths[slot])) + 1);
      const slots = [...lengths.keys()];
      const positions = slots.map((slot) => (tokens.has(slot) ? lengths[slot] : -1));
      const [rows, next] = scope(() => {
        const past = slotsPast(model, layers, positions);
        const ids = integers(
          slots.map((slot) => tokens.get(slot) ?? 0),
          [count, 1],
        );
        return [lastOf(forward(model, ids, { past })), past.layers()];
      });
      dispose();
      layers = next;
      for (const slot of tokens.keys()) lengths[slot]++;
      const values = await takeLogits(rows);
      const rowOf = (slot: number) => values.subarray(slot * vocabSize, (slot + 1) * vocabSize);
      return new Map([...tokens.keys()].map((slot) => [slot, rowOf(slot)]));
    },
    dispose,
  };
}

/** The past of one token in each slot, at its position there; at −1 the slot stays as it is. */
function slotsPast(
  model: LlamaModel,
  caches: readonly KeysAndValues[],
  positions: readonly number[],
): Past & { layers(): readonly KeysAndValues[] } {
  const { backend, config } = model;
  const { kvHeads, headDim: d } = config;
  const count = positions.length;
  const columns = caches[0].k.shape[1];
  const columnsOfHeads = tensor(
    backend,
    Int32Array.from({ length: count * kvHeads }, (_, i) => positions[Math.floor(i / kvHeads)]),
    [count * kvHeads],
    'i32',
  );
  const mask = Float32Array.from({ length: count * columns }, (_, i) =>
    i % columns <= Math.max(0, positions[Math.floor(i / columns)]) ? 0 : unseenScore,
  );
  const masks = tensor(backend, mask, [count, 1, columns]);
  const tables = model.rope(Math.max(...positions) + 1);
  const positionsOfSlots = tensor(
    backend,
    Int32Array.from(positions, (position) => Math.max(0, position)),
    [count],
    'i32',
  );
  const angles = { cos: gather(tables.cos, positionsOfSlots), sin: gather(tables.sin, positionsOfSlots) };
  const layers: KeysAndValues[] = [];
  return {
    // The slots stand where rope expects the tokens of one row.
    rotate: (x) => reshape(rope(reshape(x, [1, count, x.shape[2], d]), angles), x.shape),
    extend(layer, fresh) {
      // In the memory of the caches before, which this step is the last to see.
      const insert = (old: Tensor, x: Tensor) =>
        setRow(donate(old), reshape(x, [count * kvHeads, d]), columnsOfHeads);
      layers[layer] = { k: insert(caches[layer].k, fresh.k), v: insert(caches[layer].v, fresh.v) };
      return layers[layer];
    },
    weigh(scores) {
      const masked = add(
        reshape(scores, [count, (scores.shape[0] / count) * scores.shape[1], columns]),
        masks,
      );
      const all = { scale: 1 / Math.sqrt(d), queries: 1, offset: columns - 1 };
      return causalSoftmax(reshape(masked, scores.shape), all);
    },
    layers: () => layers,
  };
}
