import { expect, test } from 'vitest';
import { float16BitsToFloat32 } from '../half-floats.ts';
import { KernelBody } from '../wasm-kernel.ts';
import { Instance, Memory, Module } from './engine.ts';
import { element } from './fours.ts';
import { loadF16 } from './half.ts';
import { i32 } from './values.ts';

test('all 65,536 f16 are widened as on the host, NaN as NaN', () => {
  const memory = new Memory({ initial: 8, maximum: 65_536, shared: true });
  const halves = new Uint16Array(memory.buffer, 1024, 65_536).map((_, i) => i);
  new Uint16Array(memory.buffer, 1024, 65_536).set(halves);
  const out = 200_000;
  const w = new KernelBody();
  w.range(0, 65_536, 4, (i) => {
    w.store(i32.add(w.args, element(i32.const(out), i)), loadF16(i32.add(w.args, i32.shl(i, 1)), 1024));
  });
  new Instance(new Module(w.module()), { kernel: { memory } }).exports.run(0, 1, 0, 0);
  const got = new Float32Array(memory.buffer, out, 65_536);
  const want = float16BitsToFloat32(halves);
  expect(want.findIndex((x, i) => !Object.is(x, got[i]))).toBe(-1);
});
