import { reshape, rope, scope, slice, type Tensor, tensor } from '@flex/tensor';
import { type KvCache, newKvCache } from './kv-cache.ts';
import { type CausalLM, forward, logits } from './model.ts';
import { attendWithin, causalPast, type Past } from './past.ts';

export interface FillOptions {
  /** The model with an adapter, which this text is decoded with. */
  readonly model?: CausalLM;
  /** Told of the logits of each token of the prompt but the first, in their order. */
  readonly onLogits?: (logits: Float32Array) => void;
}

/** A prompt on its way into a slot. */
export interface PromptReading {
  /** Reads the next piece of it. Between two pieces the other slots may go on. */
  next(): Promise<PromptPiece>;
  /** Releases what only the reading needs, whether all is read or not. */
  dispose(): void;
}

/** What reading a piece of a prompt gave. */
export interface PromptPiece {
  /** Tokens that were computed; none where another slot had them. */
  readonly tokens: number;
  /** Those of the token after the prompt, once all of it is read; null: there is more. */
  readonly logits: Float32Array | null;
}

/** Texts that are decoded together, each in a slot of its own and at a length of its own. */
export interface Slots {
  /**
   * Begins to put a prompt into a slot, in place of what it held. A prompt that a slot still begins with is
   * copied from it, which gives the same bits, unless `onLogits` is to be told. Where a piece or a step fails,
   * all slots are to be filled again.
   */
  read(slot: number, prompt: readonly number[], options?: FillOptions): PromptReading;
  /** Reads a prompt into a slot (see read), all its pieces. Gives the logits of its next token. */
  fill(slot: number, prompt: readonly number[], options?: FillOptions): Promise<Float32Array>;
  /** Feeds a token to each of these slots. Gives the logits of the next ones. */
  step(tokens: ReadonlyMap<number, number>): Promise<ReadonlyMap<number, Float32Array>>;
  /** Slot i goes on with the text of slot from[i]; further slots with their own. */
  reorder(from: readonly number[]): void;
  dispose(): void;
}

type OnLogits = (logits: Float32Array) => void;

/** A prompt that a slot begins with. */
interface Filled {
  readonly prompt: readonly number[];
  readonly model: CausalLM;
  /** Those of the next token. */
  readonly logits: Float32Array;
}

/** Rows of a prompt that meet the vocabulary together. */
const rowsTogether = 64;

/**
 * Tokens of a prompt that are computed together: as few as cost a wide model no more than all at once do, in
 * time of the processor (decision 0032). A multiple of the rows that kernels and logits go by, 64.
 */
export const pieceTokens = 256;

/** Tokens of the last of several pieces at least: other kernels, with other last bits, compute few rows. */
const leastTokens = 64;

/** Where the piece of a prompt of t tokens ends that begins at `from`. */
const pieceEnd = (from: number, t: number): number =>
  t - from < pieceTokens + leastTokens ? t : from + pieceTokens;

/**
 * Empty slots. Every step computes all of them, empty ones too, and token i of a text is always column i of
 * its cache: so the logits of a text depend on its own tokens and on `count` alone, to the last bit, not on
 * what the other slots hold. A prompt is computed from its own keys and values in f32, piece by piece; later
 * tokens see them as the cache holds them (see KvCache). A text whose model has an adapter takes a slot like
 * any other; a step runs each model that has a text in it.
 */
export function newSlots(model: CausalLM, count: number): Slots {
  const { backend, config } = model;
  const { hiddenSize, vocabSize } = config;
  const cache = newKvCache(model, count);
  const texts: number[][] = Array.from({ length: count }, () => []);
  /** What each slot was last filled with; undefined: nothing. */
  const filled: (Filled | undefined)[] = Array(count).fill(undefined);

  const integers = (values: readonly number[], shape = [values.length]) =>
    tensor(backend, Int32Array.from(values), shape, 'i32');
  const takeLogits = async (rows: Tensor): Promise<Float32Array> => {
    const values = Float32Array.from(await rows.data());
    rows.dispose();
    return values;
  };
  const lastOf = (own: CausalLM, hidden: Tensor): Tensor => {
    const [b, t] = hidden.shape;
    return logits(own, reshape(slice(hidden, [0, t - 1, 0], [b, 1, hiddenSize]), [b, hiddenSize]));
  };

  /** Tells the logits after each of the first `count` tokens of f32 [1, t, e]. */
  const tellLogits = async (own: CausalLM, hidden: Tensor, count: number, onLogits: OnLogits) => {
    for (let from = 0; from < count; from += rowsTogether) {
      const n = Math.min(rowsTogether, count - from);
      const rows = scope(() =>
        logits(own, reshape(slice(hidden, [0, from, 0], [1, n, hiddenSize]), [n, hiddenSize])),
      );
      const values = await takeLogits(rows);
      for (let row = 0; row < n; row++) onLogits(rowOf(values, row));
    }
  };
  /** Feeds tokens to slots of one model. Gives the logits of all slots. */
  const stepOf = async (own: CausalLM, tokens: ReadonlyMap<number, number>): Promise<Float32Array> => {
    const positions = texts.map(({ length }, slot) => (tokens.has(slot) ? length : -1));
    const ids = texts.map((_, slot) => tokens.get(slot) ?? 0);
    const past = () => slotsPast(own, cache, positions);
    return await takeLogits(
      scope(() => lastOf(own, forward(own, integers(ids, [count, 1]), { past: past() }))),
    );
  };
  const rowOf = (values: Float32Array, row: number) =>
    values.subarray(row * vocabSize, (row + 1) * vocabSize);

  /** Does it. Where it fails, nobody knows what was still written: the cache and the slots are empty then. */
  const trying = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      filled.fill(undefined);
      cache.dispose();
      throw error;
    }
  };

  const read: Slots['read'] = (slot, prompt, { model: own = model, onLogits } = {}) => {
    const t = prompt.length;
    let from = 0;
    /** The prompt's keys and values in f32, where it is more than one piece. */
    let seen: KvCache | null = null;

    /** Copies the prompt from a slot that begins with it, if one does; gives its logits. */
    const copied = (): Float32Array | null => {
      const isSame = (one?: Filled) => one?.model === own && sameIds(one.prompt, prompt);
      const source = onLogits ? -1 : filled.findIndex(isSame);
      const known = filled[source];
      filled[slot] = undefined;
      if (known && source !== slot) cache.share(source, slot, t);
      return known?.logits ?? null;
    };
    /** The last hidden states of tokens from … end − 1: f32 [1, end − from, e]. */
    const hiddenUpTo = (end: number): Tensor =>
      scope(() => {
        const ids = integers(prompt.slice(from, end), [1, end - from]);
        const column = integers([from]);
        const past: Past = {
          ...causalPast(own, [1, end - from], { from, length: t }),
          extend(layer, fresh) {
            cache.fill(layer, slot, fresh, from);
            return seen ? seen.append(layer, fresh, column) : fresh;
          },
        };
        return forward(own, ids, { past });
      });
    /** Computes the next piece. Gives the logits of the prompt's next token after the last one. */
    const compute = async (): Promise<Float32Array | null> => {
      const end = pieceEnd(from, t);
      if (from === 0 && end < t) {
        seen = newKvCache(model, 1, 'f32');
        seen.reserve(t);
      }
      const hidden = hiddenUpTo(end);
      try {
        if (onLogits) await tellLogits(own, hidden, Math.min(end, t - 1) - from, onLogits);
        from = end;
        if (end === t) return await takeLogits(scope(() => lastOf(own, hidden)));
        // Whoever gives the prompt up now has not queued the rest of it.
        await backend.sync();
        return null;
      } finally {
        hidden.dispose();
      }
    };
    const next = async (): Promise<PromptPiece> => {
      if (from === 0) cache.reserve(t + 1);
      const known = from === 0 ? copied() : null;
      const before = from;
      const last = known ?? (await compute());
      if (last) {
        filled[slot] = { prompt: [...prompt], model: own, logits: last };
        texts[slot] = [...prompt];
      }
      return { tokens: from - before, logits: last };
    };
    return { next: () => trying(next), dispose: () => seen?.dispose() };
  };
  const fill: Slots['fill'] = async (slot, prompt, options) => {
    const reading = read(slot, prompt, options);
    try {
      for (;;) {
        const { logits } = await reading.next();
        if (logits) return logits;
      }
    } finally {
      reading.dispose();
    }
  };
  const step: Slots['step'] = async (tokens) => {
    cache.reserve(Math.max(...[...tokens.keys()].map((slot) => texts[slot].length)) + 1);
    const rows = new Map<number, Float32Array>();
    for (const own of new Set([...tokens.keys()].map((slot) => filled[slot]!.model))) {
      const its = new Map([...tokens].filter(([slot]) => filled[slot]!.model === own));
      const values = await stepOf(own, its);
      for (const slot of its.keys()) rows.set(slot, rowOf(values, slot));
    }
    for (const [slot, token] of tokens) texts[slot].push(token);
    return new Map([...tokens.keys()].map((slot) => [slot, rows.get(slot)!]));
  };

  return {
    read,
    fill,
    step: (tokens) => trying(() => step(tokens)),
    reorder(from) {
      const next = texts.map((_, slot) => texts[from[slot] ?? slot]);
      const same = next.map((text, slot) =>
        text === texts[slot] ? text.length : commonStart(text, texts[slot]),
      );
      const [start, end] = [Math.min(...same), Math.max(...next.map(({ length }) => length))];
      if (start < end) cache.copy(from, start, end);
      for (const slot of texts.keys()) texts[slot] = [...next[slot]];
      const prompts = filled.map((_, slot) => filled[from[slot] ?? slot]);
      for (const slot of filled.keys()) filled[slot] = prompts[slot];
    },
    dispose: cache.dispose,
  };
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && commonStart(a, b) === a.length;
}

/** Tokens that two texts begin with, both of them. */
function commonStart(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
}

/** The past of one token in each slot, at its position there; at −1 the slot stays as it is. */
function slotsPast(model: CausalLM, cache: KvCache, positions: readonly number[]): Past {
  const { backend, config } = model;
  const { headDim: d } = config;
  const count = positions.length;
  const integers = (values: readonly number[]) =>
    tensor(backend, Int32Array.from(values), [values.length], 'i32');
  const columns = integers(positions);
  // An empty slot sees the first of its columns, and nobody looks at what it makes of it.
  const last = positions.map((position) => Math.max(0, position));
  // A text is as long as it is when its token comes; what is in the cache keeps the angles that it came with.
  const angles = model.ropeAt(
    Int32Array.from(last),
    Int32Array.from(last, (position) => position + 1),
  );
  return {
    // The slots stand where rope expects the tokens of one row.
    rotate: (x) => reshape(rope(reshape(x, [1, count, x.shape[2], d]), angles), x.shape),
    extend: (layer, fresh) => cache.append(layer, fresh, columns),
    attend: attendWithin(model, [count, 1], (slot) => [0, last[slot]], config.cachedWindows),
  };
}
