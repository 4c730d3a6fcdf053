import { empty, show, type Tensor } from '@flex/tensor';
import { type AnyOp, elementsRead, type Thunks } from '@flex/tensor/kernel';
import type { Step } from './tape.ts';

/** The gradients of a step's inputs from those of its outputs. */
export type Gradients = (step: Step, gs: readonly Tensor[]) => Thunks;

/** Places among the inputs and outputs of a call, of an op and by all that decides on them. */
const known = new WeakMap<AnyOp, Map<string, readonly number[]>>();
/** Calls of an op that are remembered: attributes such as the counter of a mask come only once. */
const remembered = 256;

/** Those of a step's inputs and outputs whose elements its gradient reads. */
export function readByGradient(step: Step, gradients: Gradients): readonly Tensor[] {
  const { op, inputs, outputs, attrs, wanted } = step;
  if (op.vjp === null || !wanted.includes(true)) return [];
  const tensors = [...inputs, ...outputs];
  const find = (): readonly number[] => {
    const read = elementsRead((all) => {
      const at = { ...step, inputs: all.slice(0, inputs.length), outputs: all.slice(inputs.length) };
      const gs = at.outputs.map((y) => empty(y.backend, { shape: y.shape, dtype: 'f32' }));
      return gradients(at, gs).map((thunk, i) => (wanted[i] && thunk ? thunk() : null));
    }, tensors);
    return read.map((t) => tensors.indexOf(t));
  };
  return placesOf(op, keyOf(tensors, wanted, attrs), find).map((place) => tensors[place]);
}

function placesOf(op: AnyOp, key: string | null, find: () => readonly number[]): readonly number[] {
  if (key === null) return find();
  const calls = known.get(op) ?? new Map<string, readonly number[]>();
  known.set(op, calls);
  const places = calls.get(key) ?? find();
  if (calls.size >= remembered) calls.clear();
  calls.set(key, places);
  return places;
}

/** null where an attribute is a long list. */
function keyOf(tensors: readonly Tensor[], wanted: readonly boolean[], attrs: object): string | null {
  if (Object.values(attrs).some((value) => ArrayBuffer.isView(value))) return null;
  return `${tensors.map((t) => `${show(t)} ${tensors.indexOf(t)}`)} ${wanted} ${JSON.stringify(attrs)}`;
}
