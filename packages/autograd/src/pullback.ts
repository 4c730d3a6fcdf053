import {
  add,
  type Donated,
  donate,
  eachTensor,
  mul,
  ones,
  reshape,
  ShapeError,
  sameShape,
  scope,
  show,
  size,
  sum,
  Tensor,
  zeros,
} from '@flex/tensor';
import { isList, isRecording, opTable, type Thunk, type Thunks, withRecorder } from '@flex/tensor/kernel';
import { type Step, Tape } from './tape.ts';

/** A tensor, or a list that begins with one and holds further results. */
export type Value = Tensor | readonly [Tensor, ...unknown[]];

/**
 * f(), and vᵀ·∂f/∂x for each x of xs, by reverse mode: null where f does not depend on x. v f32 [..] has the
 * value's shape; left out, f must give one number and v is 1.
 */
export function pullback<R extends Value>(
  f: () => R,
  xs: readonly Tensor[],
  v?: Tensor,
): { readonly value: R; readonly grads: readonly (Tensor | null)[] } {
  return scope(() => {
    const tape = new Tape(xs, thunksOf);
    const value = withRecorder(tape, f);
    const made: Value = value;
    const root = made instanceof Tensor ? made : made[0];
    return { value, grads: backward(tape, root, xs, v ?? one(root), value) };
  });
}

function one(root: Tensor): Tensor {
  if (size(root.shape) !== 1) throw new ShapeError(`a gradient is of one number; f gave ${show(root)}`);
  return ones(root.backend, root.shape);
}

/**
 * Walks the tape back from `root`. Frees each step's outputs and their gradients once used, unless someone
 * else records; what the tape had freed is computed again where a gradient reads it.
 */
function backward(tape: Tape, root: Tensor, xs: readonly Tensor[], v: Tensor, returned: unknown) {
  if (!sameShape(root.shape, v.shape)) {
    throw new ShapeError(`vjp: v must have the value's shape, ${show(root)}, got ${show(v)}`);
  }
  const kept = new Set<Tensor>([...xs, v]);
  eachTensor(returned, (t) => kept.add(t));
  const free = (t: Tensor) => {
    if (!isRecording() && !kept.has(t)) t.dispose();
  };
  const grads = new Map([[root, v]]);
  const sourceOf = sourcesIn(tape);
  /** Zeros by shape, the gradient of outputs that the value does not depend on. */
  const zerosOf = new Map<string, Tensor>();
  const none = ({ backend, shape }: Tensor): Tensor => {
    const made = zerosOf.get(`${shape}`) ?? zeros(backend, shape);
    zerosOf.set(`${shape}`, made);
    kept.add(made);
    return made;
  };
  for (let step = tape.steps.pop(); step; step = tape.steps.pop()) {
    const { inputs, outputs } = step;
    const gs = outputs.map((t) => grads.get(t));
    const done: Tensor[] = [];
    const sources = inputs.map(sourceOf);
    /** What an input's gradient is to be added to, given up where nobody else has it. */
    const sumFor = (i: number): Tensor | Donated | undefined => {
      const sum = grads.get(sources[i]);
      if (!sum || sources.filter((t) => t === sources[i]).length > 1) return undefined;
      const others = [...gs, ...kept, ...[...grads].flatMap(([t, g]) => (t === sources[i] ? [] : [g]))];
      const view = reshape(sum, inputs[i].shape);
      if (isRecording() || others.includes(sum)) return view;
      if (view !== sum) sum.dispose();
      return donate(view);
    };
    for (const [i, made] of gradientsOf(step, gs, tape, none, sumFor).entries()) {
      if (!made) continue;
      const source = sources[i];
      const before = grads.get(source);
      const g = reshape(made.g, source.shape);
      grads.set(source, before && !made.isSum ? add(before, g) : g);
      if (before) done.push(before);
      if (before && !made.isSum) done.push(g);
      if (g !== made.g) done.push(made.g);
    }
    for (const [k, t] of outputs.entries()) {
      const g = gs[k];
      if (g && grads.delete(t)) done.push(g);
      if (step.wanted.includes(true)) free(t);
      tape.forget(t);
    }
    // One tensor may be the gradient of several: add hands its own on to both its inputs.
    const held = [...grads.values()];
    for (const g of done) if (!held.includes(g)) free(g);
  }
  return xs.map((x) => grads.get(x) ?? null);
}

/** What gives the tensor whose elements one has under another shape, if gradients pass from it to that. */
function sourcesIn(tape: Tape): (t: Tensor) => Tensor {
  const reshaped = new Map<Tensor, Tensor>();
  const reshapeOp = opTable.get('reshape');
  for (const { op, inputs, outputs, wanted } of tape.steps) {
    // Of this view alone the gradient is known without its vjp.
    if (op === reshapeOp && wanted[0]) reshaped.set(outputs[0], inputs[0]);
  }
  return (t) => {
    let source = t;
    for (let next = reshaped.get(t); next; next = reshaped.get(next)) source = next;
    return source;
  };
}

/** A gradient in an input of a step. */
interface Made {
  readonly g: Tensor;
  /** Whether the input's sum so far is in it. */
  readonly isSum: boolean;
}

/**
 * The gradients of a step's inputs from those of its outputs; null for an input that none is wanted for.
 * Those whose kernels add are added to what `sumFor` gives.
 */
function gradientsOf(
  step: Step,
  gs: readonly (Tensor | undefined)[],
  tape: Tape,
  none: (output: Tensor) => Tensor,
  sumFor: (input: number) => Tensor | Donated | undefined,
): readonly (Made | null)[] {
  if (gs.every((g) => !g)) return [];
  const { inputs, outputs, wanted } = step;
  const gone = [...inputs, ...outputs].some((t) => t.disposed);
  const read = new Set(gone ? tape.readByGradient(step) : []);
  const present = (t: Tensor) => (read.has(t) ? tape.present(t) : t);
  const at = { ...step, inputs: inputs.map(present), outputs: outputs.map(present) };
  const all = gs.map((g, k) => g ?? none(outputs[k]));
  const made = (thunk: Thunk, i: number): Made | null => {
    const sum = thunk.onto && sumFor(i);
    const g = sum ? thunk.onto(sum) : thunk();
    return g && { g, isSum: sum !== undefined };
  };
  return scope(() => thunksOf(at, all).map((thunk, i) => (wanted[i] && thunk ? made(thunk, i) : null)));
}

function thunksOf({ op, inputs, outputs, attrs, wanted }: Step, gs: readonly Tensor[]): Thunks {
  if (op.vjp === null) throw new Error(`${op.name} has no gradient`);
  if (op.vjp !== 'composed') return op.vjp(gs, inputs, outputs, attrs, wanted);
  const composed = op.kind === 'view' ? undefined : op.composed;
  if (!composed) throw new Error(`${op.name} names its composition as its gradient but has none`);
  const f = (): readonly Tensor[] => {
    const made: Tensor | readonly Tensor[] = composed(inputs, attrs);
    return isList(made) ? made : [made];
  };
  return recomputed(f, inputs, gs, wanted);
}

/**
 * Thunks of all gradients of f in `inputs` at once, at the first that is asked for. What is not wanted is not
 * differentiated (an index, a frozen weight); an input listed twice gives its whole gradient where it is
 * first.
 */
function recomputed(
  f: () => readonly Tensor[],
  inputs: readonly Tensor[],
  gs: readonly Tensor[],
  wanted: readonly boolean[],
): Thunks {
  const xs = [...new Set(inputs.filter((_, i) => wanted[i]))];
  let grads: readonly (Tensor | null)[] | undefined;
  // Several values with a seed each: Σ ⟨g, y⟩ has the same gradient.
  const all = () =>
    gs.length === 1
      ? pullback(() => f()[0], xs, gs[0]).grads
      : pullback(
          () =>
            f()
              .map((y, k) => sum(mul(y, gs[k])))
              .reduce((a, b) => add(a, b)),
          xs,
        ).grads;
  return inputs.map((x, i) => {
    const k = xs.indexOf(x);
    if (k < 0 || inputs.indexOf(x) < i) return null;
    return () => {
      grads ??= all();
      return grads[k];
    };
  });
}
