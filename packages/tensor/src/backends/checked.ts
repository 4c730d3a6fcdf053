import type { Backend } from '../backend.ts';

/**
 * The same backend with its eyes open, for finding mistakes: before an op that reads by index its indices are
 * read back, and one that is out of range makes the next read or sync reject with the op's name. On a device
 * they read zeros instead. Slower: every such op waits for what came before it.
 */
export function checked<B extends Backend>(backend: B): B {
  const looks: Promise<void>[] = [];
  const looked = async (): Promise<void> => {
    await Promise.all(looks.splice(0));
  };
  return {
    ...backend,
    run(op, inputs, outputs, attrs, taken) {
      for (const { input, below, negative = false } of op.indices?.(inputs, attrs) ?? []) {
        const t = inputs[input];
        const spec = { shape: t.shape, dtype: t.dtype };
        const look = backend.read({ buffer: t.buffer, offset: t.offset, spec }).then((places) => {
          const at = places.findIndex((place) => (place < 0 && !negative) || place >= below);
          if (at >= 0) throw new RangeError(`${op.name}: index ${places[at]} is not in [0, ${below})`);
        });
        looks.push(look);
        look.catch(() => {}); // told to whoever reads next
      }
      return backend.run(op, inputs, outputs, attrs, taken);
    },
    async read(source) {
      await looked();
      return backend.read(source);
    },
    async sync() {
      await looked();
      return backend.sync();
    },
  };
}
