import {
  type AnyOp,
  add,
  eachTensor,
  isRecording,
  mul,
  type Recorder,
  record,
  ShapeError,
  sameShape,
  scope,
  show,
  size,
  sum,
  type Tensor,
  type Thunks,
  tensor,
  withoutRecorders,
  withRecorder,
} from '@flex/tensor';

interface Step {
  readonly op: AnyOp;
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly attrs: object;
}

/** Ops that ran, in order, of those whose result depends on the chosen tensors. */
class Tape implements Recorder {
  readonly steps: Step[] = [];
  readonly active: Set<Tensor>;

  constructor(roots: readonly Tensor[]) {
    this.active = new Set(roots);
  }

  record(op: AnyOp, inputs: readonly Tensor[], output: Tensor, attrs: object): void {
    if (!inputs.some((t) => this.active.has(t))) return;
    this.active.add(output);
    this.steps.push({ op, inputs, output, attrs });
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
  const wanted = new Set(xs);
  for (let step = tape.steps.pop(); step; step = tape.steps.pop()) {
    const { inputs, output } = step;
    const g = grads.get(output);
    if (g) {
      const thunks = thunksOf(step, g, tape.active);
      const made = scope(() =>
        thunks.map((thunk, i) => (thunk && tape.active.has(inputs[i]) ? thunk() : null)),
      );
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
      if (!wanted.has(output)) {
        grads.delete(output);
        leave(g);
      }
    }
    release(output);
  }
  return xs.map((x) => grads.get(x) ?? null);
}

function thunksOf({ op, inputs, output, attrs }: Step, g: Tensor, active: ReadonlySet<Tensor>): Thunks {
  if (op.vjp === null) throw new Error(`${op.name} has no gradient`);
  if (op.vjp !== 'composed') return op.vjp(g, inputs, output, attrs);
  const composed = op.composed;
  if (!composed) throw new Error(`${op.name} names its composition as its gradient but has none`);
  return recomputed(() => composed(inputs, attrs), inputs, g, active);
}

/**
 * Thunks of all gradients of f in `inputs` at once, at the first that is asked for. What is not active is not
 * differentiated (an index, a frozen weight); an input listed twice gives its whole gradient where it is
 * first.
 */
function recomputed(
  f: () => Tensor,
  inputs: readonly Tensor[],
  g: Tensor,
  active: ReadonlySet<Tensor>,
): Thunks {
  const xs = [...new Set(inputs)].filter((x) => active.has(x));
  let grads: readonly (Tensor | null)[] | undefined;
  return inputs.map((x, i) => {
    const k = xs.indexOf(x);
    if (k < 0 || inputs.indexOf(x) < i) return null;
    return () => {
      grads ??= vjp(f, xs, g).grads;
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
    const zeros = (x: Tensor) => tensor(x.backend, new Float32Array(size(x.shape)), x.shape);
    return { value, grads: new Map(names.map((name, i) => [name, grads[i] ?? zeros(xs[i])])) };
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
 * forward.
 * `inputs` must list every tensor that f uses and that a gradient may be asked for.
 */
export function checkpoint(f: () => Tensor, inputs: readonly Tensor[]): Tensor {
  const output = withoutRecorders(() => scope(f));
  if (inputs.includes(output)) return output;
  const op: AnyOp = { name: 'checkpoint', infer: () => output, vjp: 'composed', composed: f, samples: [] };
  record(op, inputs, output, {});
  return output;
}
