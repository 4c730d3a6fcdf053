import {
  add,
  eachTensor,
  mul,
  ShapeError,
  sameShape,
  scope,
  show,
  size,
  sum,
  type Tensor,
  tensor,
  zeros,
} from '@flex/tensor';
import {
  type AnyOp,
  applyAll,
  type CompositeOp,
  isList,
  isRecording,
  type Recorder,
  type Thunks,
  withRecorder,
} from '@flex/tensor/kernel';

interface Step {
  readonly op: AnyOp;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: object;
}

/** Ops that ran, in order, of those whose result depends on the chosen tensors. */
class Tape implements Recorder {
  readonly steps: Step[] = [];
  readonly active: Set<Tensor>;

  constructor(roots: readonly Tensor[]) {
    this.active = new Set(roots);
  }

  record(op: AnyOp, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: object): void {
    if (!inputs.some((t) => this.active.has(t))) return;
    for (const t of outputs) this.active.add(t);
    this.steps.push({ op, inputs, outputs, attrs });
  }
}

export interface Vjp<R> {
  /** What f returned. */
  readonly value: R;
  /** For each x, vᵀ·∂f/∂x in x's shape, or null where f does not depend on x. */
  readonly grads: readonly (Tensor | null)[];
}

/**
 * vᵀ·J of `f` at xs, by reverse mode: f32 [..] seed v of the value's shape; left out, f must give one number
 * and v is 1. f may return `[value, …]` to hand out further tensors. Works inside itself, so gradients of
 * gradients are free. Tensors f makes are freed as soon as the backward pass is done with them, unless
 * returned.
 */
export function vjp<R extends Tensor | readonly [Tensor, ...unknown[]]>(
  f: () => R,
  xs: readonly Tensor[],
  seed?: Tensor,
): Vjp<R> {
  return scope(() => {
    const tape = new Tape(xs);
    const value = withRecorder(tape, f);
    const root = (Array.isArray(value) ? value[0] : value) as Tensor;
    return { value, grads: backward(tape, root, xs, seed ?? one(root), value) };
  });
}

function one(root: Tensor): Tensor {
  if (size(root.shape) !== 1) throw new ShapeError(`vjp: needs one number or a seed, got ${show(root)}`);
  return tensor(root.backend, [1], root.shape);
}

/**
 * Walks the tape back from `root`. Frees each step's output and gradient once used, unless someone else
 * records.
 */
function backward(tape: Tape, root: Tensor, xs: readonly Tensor[], seed: Tensor, returned: unknown) {
  if (!sameShape(root.shape, seed.shape)) {
    throw new ShapeError(`vjp: the seed must have the value's shape, got ${show(seed)} for ${show(root)}`);
  }
  const grads = new Map<Tensor, Tensor>([[root, seed]]);
  const kept = new Set<Tensor>([...xs, seed]);
  eachTensor(returned, (t) => kept.add(t));
  const release = (t: Tensor) => {
    if (!isRecording() && !kept.has(t)) t.dispose();
  };
  // A gradient tensor may be the gradient of several outputs at once (add hands its own on): count its
  // places.
  const places = new Map<Tensor, number>([[seed, 1]]);
  const leave = (g: Tensor) => {
    const left = places.get(g)! - 1;
    places.set(g, left);
    if (left === 0) release(g);
  };
  const put = (x: Tensor, g: Tensor) => {
    grads.set(x, g);
    places.set(g, (places.get(g) ?? 0) + 1);
  };
  const requested = new Set(xs);
  for (let step = tape.steps.pop(); step; step = tape.steps.pop()) {
    const { inputs, outputs } = step;
    if (outputs.some((t) => grads.has(t))) {
      const made = scope(() => {
        const gs = outputs.map((t) => grads.get(t) ?? zeros(t.backend, t.shape));
        const wanted = inputs.map((t) => tape.active.has(t));
        const thunks = thunksOf(step, gs, wanted);
        return thunks.map((thunk, i) => (thunk && wanted[i] ? thunk() : null));
      });
      for (const [i, gx] of made.entries()) {
        if (!gx) continue;
        const before = grads.get(inputs[i]);
        if (!before) {
          put(inputs[i], gx);
          continue;
        }
        put(inputs[i], add(before, gx));
        leave(before);
        if (!places.get(gx)) release(gx);
      }
      for (const t of outputs) {
        const g = grads.get(t);
        if (!g || requested.has(t)) continue;
        grads.delete(t);
        leave(g);
      }
    }
    for (const t of outputs) release(t);
  }
  return xs.map((x) => grads.get(x) ?? null);
}

function thunksOf(
  { op, inputs, outputs, attrs }: Step,
  gs: readonly Tensor[],
  wanted: readonly boolean[],
): Thunks {
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
      ? vjp(() => f()[0], xs, gs[0]).grads
      : vjp(
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

/** Parameters by the names of the checkpoint they belong to. */
export type Parameters = ReadonlyMap<string, Tensor>;

/** The value of f and its gradient in every parameter; a parameter that f does not use gets zeros. */
export function valueAndGrad<R extends Tensor | readonly [Tensor, ...unknown[]]>(
  f: () => R,
  parameters: Parameters,
): { readonly value: R; readonly grads: Map<string, Tensor> } {
  return scope(() => {
    const names = [...parameters.keys()];
    const xs = [...parameters.values()];
    const { value, grads } = vjp(f, xs);
    const zero = (x: Tensor) => zeros(x.backend, x.shape);
    return { value, grads: new Map(names.map((name, i) => [name, grads[i] ?? zero(xs[i])])) };
  });
}

/** H·v of the number f at xs, by differentiating ⟨∇f, v⟩; null where ∇f does not depend on x. */
export function hvp(
  f: () => Tensor,
  xs: readonly Tensor[],
  vs: readonly Tensor[],
): readonly (Tensor | null)[] {
  const slope = () => {
    const { grads } = vjp(f, xs);
    const products = grads.flatMap((g, i) => (g ? [sum(mul(g, vs[i]))] : []));
    if (products.length === 0) throw new Error('hvp: f depends on none of xs');
    return products.reduce((total, product) => add(total, product));
  };
  return scope(() => vjp(slope, xs).grads);
}

/**
 * f(), recomputed in the backward pass instead of kept: memory of one value for the price of a second
 * forward. `inputs` must list every tensor that f uses and that a gradient may be asked for. JAX calls it
 * checkpoint.
 */
export function recompute(f: () => Tensor, inputs: readonly Tensor[]): Tensor {
  if (!isRecording()) return scope(f);
  const op: CompositeOp<object> = {
    kind: 'composite',
    name: 'recompute',
    infer: () => [],
    vjp: 'composed',
    composed: f,
    samples: [],
  };
  return applyAll(op, inputs, {})[0];
}
