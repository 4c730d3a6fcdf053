import { ConfigError, DataError } from '@flex/base';
import {
  type Backend,
  cast,
  matmul,
  mul,
  normal,
  reshape,
  scope,
  sqrt,
  type Tensor,
  tensor,
  uniform,
  zeros,
} from '@flex/tensor';
import { type AdapterPair, type Adapters, embedding } from './adapters.ts';
import { adaptedNorms, rowSquares } from './dora.ts';
import { type HostMatrix, leadingSvd, normalize } from './leading-svd.ts';
import { decomposes, type LoraConfig, rankOf, scaleOf, weightOf } from './lora.ts';
import type { LinearSize, Linears } from './targets.ts';
import type { ModelWeights } from './whole-weights.ts';

/** An adapter before its first update. */
export interface FreshAdapter {
  readonly params: Map<string, AdapterPair>;
  /** What was taken out of the model, W − s·B·A being what is left, so that the sum is W; null: nothing. */
  readonly removed: Adapters | null;
}

// The second word of a random key says what is drawn, so that no two streams of a run meet.
const initStream = 0x10ad;

/**
 * A fresh adapter for the linear layers in `targets`, as `config.init` says:
 *
 * - `kaiming`: a f32 [r, in] uniform in ±1/√in, b f32 [out, r] zero; `gaussian`: a normal with deviation
 *   1/r, b zero.
 * - `random`: a as above, b uniform in ±1/√r, as is B's bias where there is one, so that it does something.
 * - `orthogonal`: both dense, with b·a = 0: a = (N₁·Q₁)ᵀ/10 and b = N₂·Q₂/10 of normal N and the odd and the
 *   even rows Q₁ and Q₂ of an orthogonal matrix [r, r].
 * - On the embedding a is zero and b normal, as in PEFT; with `random`, both are normal.
 *
 * The numbers depend on the seed and the module's index among the targets. Throws ConfigError for what PEFT
 * does not take: a bias of B with other initial values than `kaiming` and `random`, or with DoRA, and an odd
 * rank with `orthogonal`; and for `pissa`, `olora` and DoRA, which need the model: see `initAdapter`.
 */
export function initLora(
  backend: Backend,
  config: LoraConfig,
  targets: Linears,
  seed: number,
): Map<string, AdapterPair> {
  requireInit(config, targets);
  if (config.dora || decomposes(config.init))
    throw new ConfigError('initLora: pissa, olora and DoRA need the model; take initAdapter');
  return drawn(backend, config, targets, seed);
}

/**
 * A fresh adapter for the linear layers `targets` of a model, as `initLora` has it, and besides:
 *
 * - DoRA's magnitude is the norm of each row of W + s·b·a.
 * - `pissa`: with W's r leading singular triplets, b = U·√(Σ/s) and a = √(Σ/s)·Vᵀ. `olora`: with W = Q·R, b
 *   the first r columns of Q and a the first r rows of R. Both take s·b·a out of W, so that the model starts
 *   as it is.
 *
 * Throws ConfigError as `initLora` does, and what `removedBy` throws.
 * Source: Meng et al., PiSSA, 2024; Büyükakyüz, OLoRA, 2024.
 */
export async function initAdapter(
  { backend, weights }: { readonly backend: Backend; readonly weights: ModelWeights },
  config: LoraConfig,
  targets: Linears,
  seed: number,
): Promise<FreshAdapter> {
  requireInit(config, targets);
  const removed = await removedBy(config, [...targets.keys()], weights);
  const own = ({ a, b }: AdapterPair): AdapterPair => ({ a: copy(a), b: copy(b) });
  const pairs = removed
    ? new Map([...removed].map(([path, pair]) => [path, own(pair)]))
    : drawn(backend, config, targets, seed);
  if (!config.dora) return { params: pairs, removed };
  const withMagnitude = ([path, pair]: [string, AdapterPair]): [string, AdapterPair] => {
    const weight = weightOf(weights, path);
    return [
      path,
      { ...pair, magnitude: startingMagnitude(weight, removed ? null : pair, scaleOf(config, path)) },
    ];
  };
  return { params: new Map([...pairs].map(withMagnitude)), removed };
}

/** A tensor of its own with the same numbers. */
const copy = (t: Tensor): Tensor => mul(t, 1);

/** ‖W + s·B·A‖ of each row; ‖W‖ where the adapter starts as nothing. f32 [out]. */
function startingMagnitude(weight: Tensor, pair: AdapterPair | null, scale: number): Tensor {
  return scope(() => {
    const squares = rowSquares(weight);
    const norms = pair
      ? adaptedNorms(pair, scale, squares, matmul(pair.a, weight, { transposeB: true }))
      : sqrt(squares);
    return reshape(norms, [weight.shape[0]]);
  });
}

/** Throws ConfigError for a bias of B where PEFT has none. */
function checkBias({ init = 'kaiming', loraBias, dora }: LoraConfig): void {
  if (loraBias && dora) throw new ConfigError('lora.lora_bias: cannot be had with lora.dora');
  if (loraBias && init !== 'kaiming' && init !== 'random')
    throw new ConfigError(`lora.lora_bias: needs lora.init kaiming or random, not ${init}`);
}

/** Throws ConfigError for what `initAdapter` refuses of a config whatever the model's weights are. */
export function requireInit(config: LoraConfig, targets: Linears): void {
  checkBias(config);
  if (targets.has(embedding)) checkEmbedding(config);
  if (config.init !== 'orthogonal') return;
  for (const path of targets.keys()) {
    const rank = rankOf(config, path);
    if (rank % 2 !== 0)
      throw new ConfigError(`lora.init: orthogonal needs an even rank, ${path} has ${rank}`);
  }
}

/** Throws ConfigError for what is for linear layers alone. */
function checkEmbedding({ init = 'kaiming', loraBias, dora }: LoraConfig): void {
  const fail = (key: string, value: unknown): never => {
    throw new ConfigError(`lora.${key}: ${value} is for linear layers, not for ${embedding}`);
  };
  if (dora) fail('dora', dora);
  if (loraBias) fail('lora_bias', loraBias);
  if (init === 'orthogonal' || decomposes(init)) fail('init', init);
}

/** Pairs of which nothing was taken from the model. */
function drawn(
  backend: Backend,
  config: LoraConfig,
  targets: Linears,
  seed: number,
): Map<string, AdapterPair> {
  const { init = 'kaiming', loraBias } = config;
  const fresh = (path: string, size: LinearSize, index: number): AdapterPair => {
    const rank = rankOf(config, path);
    const a = [rank, size.in];
    const b = [size.out, rank];
    const random = (what: number) => ({ key: [seed, initStream] as const, counter: [what, index] as const });
    const within = (bound: number, what: number, shape: readonly number[]) => {
      const unit = uniform(
        shape.reduce((x, y) => x * y),
        random(what),
      );
      return tensor(
        backend,
        unit.map((u) => (2 * u - 1) * bound),
        shape,
      );
    };
    const normals = (what: number, shape: readonly number[]) =>
      tensor(backend, normal(shape[0] * shape[1], random(what)), shape);
    if (path === embedding) {
      return { a: init === 'random' ? normals(0, a) : zeros(backend, a), b: normals(1, b) };
    }
    const kaiming = () => within(1 / Math.sqrt(size.in), 0, a);
    const bias = loraBias && init === 'kaiming' ? { bias: zeros(backend, [size.out]) } : {};
    switch (init) {
      case 'random': {
        const bound = 1 / Math.sqrt(rank);
        return {
          a: kaiming(),
          b: within(bound, 1, b),
          ...(loraBias && { bias: within(bound, 2, [size.out]) }),
        };
      }
      case 'gaussian': {
        const values = normal(rank * size.in, random(0)).map((x) => x / rank);
        return { a: tensor(backend, values, a), b: zeros(backend, b) };
      }
      case 'orthogonal':
        return orthogonalPair(backend, { rank, size, normals: (n, what) => normal(n, random(what)) });
      default:
        return { a: kaiming(), b: zeros(backend, b), ...bias };
    }
  };
  return new Map([...targets].map(([path, size], index) => [path, fresh(path, size, index)]));
}

interface OrthogonalOptions {
  readonly rank: number;
  readonly size: LinearSize;
  /** n normal numbers of a stream. */
  readonly normals: (n: number, stream: number) => Float32Array;
}

/** Dense a and b with b·a = 0, of an even rank. */
function orthogonalPair(backend: Backend, { rank, size, normals }: OrthogonalOptions): AdapterPair {
  const draws = normals(rank * rank, 2);
  const basis: Float64Array[] = [];
  for (let i = 0; i < rank; i++) {
    const row = Float64Array.from(draws.subarray(i * rank, (i + 1) * rank));
    normalize(row, basis, i);
    basis.push(row);
  }
  const half = rank / 2;
  /** N·Q/10, N [length, half] normal and Q every other row of the basis: [length][rank]. */
  const mixed = (length: number, stream: number, first: 0 | 1) => {
    const n = normals(length * half, stream);
    return (row: number, k: number) => {
      let sum = 0;
      for (let i = 0; i < half; i++) sum += n[row * half + i] * basis[2 * i + first][k];
      return sum / 10;
    };
  };
  const [ofA, ofB] = [mixed(size.in, 0, 0), mixed(size.out, 1, 1)];
  const a = Float32Array.from({ length: rank * size.in }, (_, i) =>
    ofA(i % size.in, Math.floor(i / size.in)),
  );
  const b = Float32Array.from({ length: size.out * rank }, (_, i) => ofB(Math.floor(i / rank), i % rank));
  return { a: tensor(backend, a, [rank, size.in]), b: tensor(backend, b, [size.out, rank]) };
}

/**
 * What an adapter whose config says `pissa` or `olora` takes out of the weights of its modules; null for
 * others. Throws ConfigError for a rank above the size of a layer, DataError for a weight that is not finite.
 */
export async function removedBy(
  config: LoraConfig,
  paths: readonly string[],
  weights: ModelWeights,
): Promise<Map<string, AdapterPair> | null> {
  if (!decomposes(config.init)) return null;
  const pairs = new Map<string, AdapterPair>();
  for (const path of paths) {
    if (path === embedding) checkEmbedding(config);
    const weight = weightOf(weights, path);
    const [rows, columns] = weight.shape;
    const rank = rankOf(config, path);
    if (rank > Math.min(rows, columns)) {
      throw new ConfigError(
        `lora.init: ${config.init} needs a rank of at most ${Math.min(rows, columns)} for ${path}, not ${rank}`,
      );
    }
    const whole = cast(weight, 'f32');
    const data = Float32Array.from(await whole.data());
    if (whole !== weight) whole.dispose();
    const wrong = data.find((x) => !Number.isFinite(x));
    if (wrong !== undefined)
      throw new DataError(`lora.init: ${config.init} cannot decompose ${path}, whose weight holds ${wrong}`);
    const { a, b } = (config.init === 'pissa' ? principal : orthonormal)(
      { data, rows, columns },
      rank,
      scaleOf(config, path),
    );
    pairs.set(path, {
      a: tensor(weight.backend, a, [rank, columns]),
      b: tensor(weight.backend, b, [rows, rank]),
    });
  }
  return pairs;
}

/** b = U·√(Σ/s) [rows, rank] and a = √(Σ/s)·Vᵀ [rank, columns] of the leading singular triplets. */
function principal(matrix: HostMatrix, rank: number, scale: number) {
  const { sigma, u, v } = leadingSvd(matrix, rank);
  const root = sigma.map((x) => Math.sqrt(x / scale));
  return {
    a: Float32Array.from({ length: rank * matrix.columns }, (_, i) => {
      const k = Math.floor(i / matrix.columns);
      return root[k] * v[k][i % matrix.columns];
    }),
    b: Float32Array.from(
      { length: matrix.rows * rank },
      (_, i) => u[i % rank][Math.floor(i / rank)] * root[i % rank],
    ),
  };
}

/** b = the first columns of Q [rows, rank] and a = the first rows of R [rank, columns], where W = Q·R. */
function orthonormal({ data, rows, columns }: HostMatrix, rank: number) {
  const q: Float64Array[] = [];
  for (let k = 0; k < rank; k++) {
    const column = Float64Array.from({ length: rows }, (_, i) => data[i * columns + k]);
    normalize(column, q, k);
    q.push(column);
  }
  const a = new Float64Array(rank * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < rank; k++) {
      // R is zero below its diagonal.
      for (let j = k; j < columns; j++) a[k * columns + j] += q[k][i] * data[i * columns + j];
    }
  }
  return {
    a: Float32Array.from(a),
    b: Float32Array.from({ length: rows * rank }, (_, i) => q[i % rank][Math.floor(i / rank)]),
  };
}
