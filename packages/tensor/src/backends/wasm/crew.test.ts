import { expect, test } from 'vitest';
import { Instance, Memory, Module } from '../../wasm/engine.ts';
import { element } from '../../wasm/fours.ts';
import { i32 } from '../../wasm/values.ts';
import { KernelBody } from '../../wasm-kernel.ts';
import { Crew } from './crew.ts';

const memory = new Memory({ initial: 1, maximum: 65_536, shared: true });
const [argsAt, countsAt, most] = [0, 1024, 100];

/** Adds so much to the count of each of its items. */
function adder(amount: number) {
  const w = new KernelBody();
  w.range(w.from, w.to, 1, (i) => {
    const at = w.let(element(i32.load(w.args), i));
    w.store(at, i32.add(i32.load(at), amount));
  });
  const module = new Module(w.module());
  return { module, run: new Instance(module, { kernel: { memory } }).exports.run };
}

test('every item of every job is run once, by the kernel of the job, however short jobs follow one another', async () => {
  const crew = new Crew(memory, [0, 0, 0, 0]);
  const amounts = [1, 1000];
  const kernels = amounts.map(adder);
  const counts = new Int32Array(memory.buffer, countsAt, most);
  const want = new Int32Array(most);
  new Int32Array(memory.buffer, argsAt, 1)[0] = countsAt;
  for (let job = 0; job < 60_000; job++) {
    const kernel = job % 2;
    const items = 1 + ((job * 7919) % most);
    crew.run({ kernel, ...kernels[kernel], items, share: 1 + (job % 3), args: argsAt });
    for (let i = 0; i < items; i++) want[i] += amounts[kernel];
    if (job % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(counts).toEqual(want);
  await crew.end();
});
