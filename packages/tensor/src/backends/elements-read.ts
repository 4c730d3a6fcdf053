import { type Backend, type DeviceBuffer, newStats } from '../backend.ts';
import { eachTensor, empty, scope, type Tensor, withoutRecorders } from '../tensor.ts';

/**
 * The tensors of xs whose elements f reads or gives on, found by running f on others of their shapes that
 * have none: nothing is computed. f may not use xs but as they are given to it.
 */
export function elementsRead(f: (xs: readonly Tensor[]) => unknown, xs: readonly Tensor[]): Tensor[] {
  const read = new Set<DeviceBuffer>();
  return withoutRecorders(() =>
    scope(() => {
      const backend = withoutElements(xs[0].backend, read);
      const standIns = new Map(xs.map((x) => [x, empty(backend, x)]));
      eachTensor(f(xs.map((x) => standIns.get(x)!)), (t) => read.add(t.buffer));
      return [...standIns].filter(([, { buffer }]) => read.has(buffer)).map(([x]) => x);
    }),
  );
}

/** A backend of the same kind that computes nothing, and notes what kernels would read. */
function withoutElements(
  { name, description, counted, viewAlignment, maxBindingBytes }: Backend,
  read: Set<DeviceBuffer>,
): Backend {
  const nothing = async (): Promise<void> => {};
  return {
    name,
    description,
    counted,
    viewAlignment,
    maxBindingBytes,
    stats: newStats(),
    memory: async () => null,
    allocate: () => ({}),
    free() {},
    write() {},
    read: () => Promise.reject(new Error('there are no elements to read')),
    run(_op, inputs, outputs, _attrs, taken) {
      for (const { buffer } of inputs) read.add(buffer);
      return outputs.map((_, k) => inputs[taken[k]]?.buffer ?? {});
    },
    sync: nothing,
    resetPeak() {},
    close: nothing,
  };
}
