import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import type { Backend } from '../../backend.ts';
import '../../index.ts';
import { opTable } from '../../kernel.ts';
import { arbitrarySamples, inOtherTypes, runOpAll } from '../../testing/index.ts';
import { openWasm } from './wasm.ts';

/** Ops without WebAssembly for a call that was made: they are slow, but right, so only this tells. */
const inJavaScript = new Set<string>();
let backend: Backend;

beforeAll(() => {
  const wasm = openWasm({ threads: 1 });
  backend = {
    ...wasm,
    run(op, inputs, outputs, attrs, taken) {
      if (!op.wasm?.(inputs, outputs, attrs, taken)) inJavaScript.add(op.name);
      return wasm.run(op, inputs, outputs, attrs, taken);
    },
  };
});

test.each([...opTable.keys()])(
  '%s runs in WebAssembly, at each sample and in each element type',
  async (name) => {
    const op = opTable.get(name)!;
    const [samples] = fc.sample(arbitrarySamples(op), 1);
    inJavaScript.clear();
    for (const { inputs, attrs } of [...samples, ...inOtherTypes(op, samples)]) {
      await runOpAll(backend, op, inputs, attrs);
    }
    expect([...inJavaScript]).toEqual([]);
  },
);
