import {
  addScaled,
  cast,
  equal,
  gather,
  matmul,
  oneHot,
  permute,
  reshape,
  rowSum,
  scope,
  sum,
  type Tensor,
  tensor,
  where,
} from '@flex/tensor';
import { type AdapterWeights, embedding, head } from './adapters.ts';
import {
  type DropoutState,
  type Linear,
  type LoraConfig,
  moduleOf,
  type ResolvedLora,
  withLora,
} from './lora.ts';
import { isTied, type ModelWeights, type TokenRows, tokenRowsOf } from './whole-weights.ts';

/** How a forward pass meets the weights of a model: what an adapter puts itself between. */
export interface Layers {
  /** x·Wᵀ of a linear layer: x f32 [.., in] → f32 [.., out]. */
  readonly linear: Linear;
  /** The rows of tokens in the embedding: ids i32 [b, t] → f32 [b, t, e]. */
  readonly embed: (ids: Tensor) => Tensor;
  /** The weight of a norm: f32 [e]. */
  readonly norm: (path: string) => Tensor;
  /** What is added to what a linear layer or a norm gives: f32 [out]; undefined: nothing. */
  readonly bias: (path: string) => Tensor | undefined;
}

/** What is adapted: a model's layers, and its own weights by the checkpoint's names, tied ones being one tensor. */
export interface AdaptableModel extends Layers {
  readonly weights: ModelWeights;
}

/**
 * The model with other layers: weights that were trained whole in place of its own, trained rows of tokens in
 * place of the embedding's (and of lm_head's, where the two are tied), and on what then is there W + s·B·A:
 * `withLora` on linear layers, e(id) + s·B·a_id on the embedding, where nothing is dropped. A tied lm_head is the
 * embedding's transpose there too, if `ensureWeightTying`. The model's own weights stay as they are. Throws what
 * `withLora` throws.
 */
export function withAdapter<M extends AdaptableModel>(
  model: M,
  { params, whole }: AdapterWeights,
  lora: ResolvedLora,
  dropoutState?: DropoutState,
): M {
  const { config } = lora;
  const follows = config.ensureWeightTying ?? false;
  const replaced = withWhole(model, whole, follows);
  const layers = withTokenRows(replaced, model, whole, config);
  const { embed } = layers;
  const linear = withLora(layers.linear, params, lora, dropoutState);
  const pair = params.get(embedding);
  if (!pair) return { ...model, ...layers, linear };
  const { scale } = moduleOf(lora, embedding);
  const adapted: Layers = {
    ...layers,
    linear: follows
      ? (x, path) =>
          path === head
            ? scope(() => addScaled(linear(x, path), matmul(matmul(x, pair.b), pair.a), scale))
            : linear(x, path)
      : linear,
    embed: (ids) =>
      scope(() => {
        const inner = gather(permute(pair.a, [1, 0]), ids); // [b, t, r]
        return addScaled(embed(ids), matmul(inner, pair.b, { transposeB: true }), scale);
      }),
  };
  return { ...model, ...adapted };
}

/** The layers with the weights that were trained whole; lm_head is the embedding's where it follows it. */
function withWhole(model: AdaptableModel, whole: AdapterWeights['whole'], follows: boolean): Layers {
  const weightOf = (path: string): Tensor | undefined =>
    whole.get(`${path}.weight`) ?? (follows && path === head ? whole.get(`${embedding}.weight`) : undefined);
  const table = weightOf(embedding);
  return {
    linear(x, path) {
      const weight = weightOf(path);
      return weight ? matmul(x, weight, { transposeB: true }) : model.linear(x, path);
    },
    embed: table ? (ids) => gather(table, ids) : model.embed,
    norm: (path) => weightOf(path) ?? model.norm(path),
    bias: (path) => whole.get(`${path}.bias`) ?? model.bias(path),
  };
}

/** The layers with the trained rows of tokens. */
function withTokenRows(
  layers: Layers,
  model: AdaptableModel,
  whole: AdapterWeights['whole'],
  config: LoraConfig,
): Layers {
  const inTable = tokenRowsOf(config, whole, embedding);
  const inHead = tokenRowsOf(config, whole, head) ?? (isTied(model.weights) ? inTable : null);
  const { linear, embed } = layers;
  return {
    ...layers,
    linear: inHead
      ? (x, path) => (path === head ? withScores(linear(x, path), x, inHead) : linear(x, path))
      : linear,
    embed: inTable ? (ids) => withRows(embed(ids), ids, inTable) : embed,
  };
}

/** x [b, t, e] with the rows of those of the ids [b, t] that have one. */
function withRows(x: Tensor, ids: Tensor, { indices, rows }: TokenRows): Tensor {
  return scope(() => {
    const tokens = tensor(x.backend, Float32Array.from(indices), [indices.length]);
    const is = equal(reshape(cast(ids, 'f32'), [...ids.shape, 1]), tokens); // [b, t, n], at most one 1 a row
    return where(rowSum(is), matmul(is, rows), x);
  });
}

/** Logits y [.., v] of x [.., e] with those of the tokens that have a row. */
function withScores(y: Tensor, x: Tensor, { indices, rows }: TokenRows): Tensor {
  return scope(() => {
    const tokens = tensor(x.backend, Int32Array.from(indices), [indices.length], 'i32');
    const place = oneHot(tokens, y.shape.at(-1)!); // [n, v]
    const scores = matmul(matmul(x, rows, { transposeB: true }), place);
    return where(sum(place, { axes: [0] }), scores, y);
  });
}
