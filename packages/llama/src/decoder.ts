import { gather, reshape, scope, slice, type Tensor, tensor } from '@flex/tensor';
import { forward, type LlamaModel, logits } from './model.ts';
import { causalPast, type KvCache } from './past.ts';

/** The model between two tokens: what it said last for each row, and its cache. */
export interface DecodingState {
  /** Logits of the next token, one row of the vocabulary each. */
  readonly rows: readonly Float32Array[];
  readonly cache: KvCache;
}

/** Feeds tokens to a model. Each state replaces, and frees, the one it came from. */
export interface Decoder {
  start(prompt: readonly number[]): Promise<DecodingState>;
  /** One token for each row; row i continues row `from[i]` of the state. */
  step(state: DecodingState, tokens: readonly number[], from: readonly number[]): Promise<DecodingState>;
  free(state: DecodingState): void;
}

export function newDecoder(model: LlamaModel): Decoder {
  const { backend, config } = model;
  const free = ({ cache }: DecodingState): void => {
    for (const { k, v } of cache.layers) {
      k.dispose();
      v.dispose();
    }
  };
  /** The last token's logits of each row; tokens are [b, t]. */
  const advance = async (tokens: readonly number[], b: number, cache?: KvCache): Promise<DecodingState> => {
    const t = tokens.length / b;
    const [last, next] = scope((): [Tensor, KvCache] => {
      const ids = tensor(backend, Int32Array.from(tokens), [b, t], 'i32');
      const past = causalPast(model, t, cache);
      const hidden = forward(model, ids, { past });
      const end = slice(hidden, [0, t - 1, 0], [b, 1, config.hiddenSize]);
      return [logits(model, reshape(end, [b, config.hiddenSize])), past.cache()];
    });
    const data = Float32Array.from(await last.data());
    last.dispose();
    const v = config.vocabSize;
    return { rows: Array.from({ length: b }, (_, i) => data.subarray(i * v, (i + 1) * v)), cache: next };
  };
  return {
    free,
    start: (prompt) => advance(prompt, 1),
    async step(state, tokens, from) {
      const same = from.length === state.rows.length && from.every((row, i) => row === i);
      const cache = same ? state.cache : selectRows(state.cache, from, config.kvHeads);
      const next = await advance(tokens, tokens.length, cache);
      if (!same) free({ rows: [], cache });
      free(state);
      return next;
    },
  };
}

/** The cache whose row i is row `from[i]` of the given one. */
function selectRows(cache: KvCache, from: readonly number[], kvHeads: number): KvCache {
  return scope(() => {
    const { backend } = cache.layers[0].k;
    const rows = tensor(backend, Int32Array.from(from), [from.length], 'i32');
    const select = (x: Tensor): Tensor => {
      const [bh, s, d] = x.shape;
      const picked = gather(reshape(x, [bh / kvHeads, kvHeads * s * d]), rows);
      return reshape(picked, [from.length * kvHeads, s, d]);
    };
    return { tokens: cache.tokens, layers: cache.layers.map(({ k, v }) => ({ k: select(k), v: select(v) })) };
  });
}
