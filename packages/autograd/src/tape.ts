import type { Tensor } from '@flex/tensor';
import { type AnyOp, applyAll, bytesOf, flopsOf, type Recorder } from '@flex/tensor/kernel';
import { minimumCut } from './minimum-cut.ts';
import { type Gradients, readByGradient } from './read-by-gradient.ts';

/** An op that ran. */
export interface Step {
  readonly op: AnyOp;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: object;
  /** Of each input, whether it depends on the chosen tensors, so that its gradient is wanted. */
  readonly wanted: readonly boolean[];
  /** Whether its outputs may be freed, to be computed again if need be. */
  again: boolean;
}

/** True for what is as quick to compute as to read: views, and kernels that count no arithmetic. */
const isCheap = (op: AnyOp): boolean => op.kind === 'view' || (op.kind === 'kernel' && !op.flops);

/**
 * An op that takes less than this part of the arithmetic that products around it take for a byte is cheap,
 * too: attention among wide layers.
 */
const light = 1 / 4;

/** The arithmetic of a kernel, and the bytes of its outputs; null where it counts none. */
function workOf({ op, inputs, outputs, attrs }: Step) {
  if (op.kind !== 'kernel' || !op.flops) return null;
  const bytes = outputs.reduce((sum, t) => sum + bytesOf(t), 0);
  return { flops: flopsOf(op, inputs, outputs, attrs), bytes };
}

/** Tells of a step whether it is light among others. */
function lightAmong(steps: readonly Step[]): (step: Step) => boolean {
  const all = steps.map(workOf).filter((work) => work !== null);
  const [flops, bytes] = (['flops', 'bytes'] as const).map((key) => all.reduce((sum, x) => sum + x[key], 0));
  return (step) => {
    const work = workOf(step);
    return work !== null && work.flops * bytes < light * flops * work.bytes;
  };
}

/** Steps of a scope below which it leaves all to the scope around it, which sees more. */
const worthLooking = 5;

let recomputing = false;

/** Runs f; a tape may free whatever f makes, and compute it again. */
export function whileRecomputing<T>(f: () => T): T {
  const before = recomputing;
  recomputing = true;
  try {
    return f();
  } finally {
    recomputing = before;
  }
}

/**
 * Ops that ran, in order. Of what a scope leaves behind it keeps the least by which all that gradients read
 * is there or can be computed again by cheap ops.
 */
export class Tape implements Recorder {
  readonly steps: Step[] = [];
  /** What depends on the chosen tensors. */
  readonly active: Set<Tensor>;
  readonly #gradients: Gradients;
  readonly #read = new Map<Step, readonly Tensor[]>();
  readonly #makers = new Map<Tensor, Step>();
  /** In place of tensors that were freed. */
  readonly #again = new Map<Tensor, Tensor>();

  constructor(roots: readonly Tensor[], gradients: Gradients) {
    this.active = new Set(roots);
    this.#gradients = gradients;
  }

  record(op: AnyOp, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: object): void {
    const wanted = inputs.map((t) => this.active.has(t));
    const step = { op, inputs, outputs, attrs, wanted, again: recomputing || isCheap(op) };
    for (const t of outputs) {
      if (wanted.includes(true)) this.active.add(t);
      this.#makers.set(t, step);
    }
    this.steps.push(step);
  }

  enter(): (left: ReadonlySet<Tensor>) => Iterable<Tensor> {
    const start = this.steps.length;
    return (left) =>
      recomputing || this.steps.length - start >= worthLooking
        ? this.#spare(this.steps.slice(start), left)
        : [];
  }

  /** Of tensors that nobody else can use any more, after these steps, those that need not be kept. */
  #spare(steps: readonly Step[], left: ReadonlySet<Tensor>): Iterable<Tensor> {
    const used = steps.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
    const nodes = [...new Set([...left, ...used.filter((t) => t.disposed)])];
    const isLight = lightAmong(steps);
    for (const step of steps) step.again ||= isLight(step);
    const makers = nodes.map((t) => this.#makers.get(t)).map((step) => (step?.again ? step : undefined));
    const sources = [...nodes.keys()].filter((i) => !makers[i]);
    if (sources.length === 0) return left;
    const places = new Map(nodes.map((t, i) => [t, i]));
    const among = (ts: readonly Tensor[]) => ts.flatMap((t) => places.get(t) ?? []);
    const kept = minimumCut({
      weights: nodes.map((t) => (t.disposed ? Number.POSITIVE_INFINITY : bytesOf(t))),
      edges: makers.flatMap((step, i) => (step ? among(step.inputs).map((from) => [from, i] as const) : [])),
      sources,
      sinks: among(steps.flatMap((step) => this.readByGradient(step))),
    });
    return nodes.filter((t, i) => !t.disposed && !kept.has(i));
  }

  /** Those of a step's inputs and outputs whose elements its gradient reads. */
  readByGradient(step: Step): readonly Tensor[] {
    const read = this.#read.get(step) ?? readByGradient(step, this.#gradients);
    this.#read.set(step, read);
    return read;
  }

  /** t, or what is computed again in its place. */
  present(t: Tensor): Tensor {
    const made = t.disposed ? this.#makers.get(t) : undefined;
    if (!made) return t;
    if (!this.#again.has(t)) {
      const outputs = applyAll(
        made.op,
        made.inputs.map((x) => this.present(x)),
        made.attrs,
      );
      for (const [k, x] of made.outputs.entries()) {
        if (x.disposed) this.#again.set(x, outputs[k]);
        else outputs[k].dispose();
      }
    }
    return this.#again.get(t)!;
  }

  /** Frees what was computed again in place of t. */
  forget(t: Tensor): void {
    this.#again.get(t)?.dispose();
    this.#again.delete(t);
  }
}
