import { setFlagsFromString } from 'node:v8';
import { Body } from './body.ts';
import { validate } from './engine.ts';
import { f32x4, type V128 } from './values.ts';

function hasRelaxedSimd(): boolean {
  const w = new Body([]);
  w.let(f32x4.relaxedMadd(f32x4.const(0), f32x4.const(0), f32x4.const(0)));
  return validate(w.module());
}

/**
 * Relaxed SIMD is on by default from V8 11.4 on. Node 20 has V8 11.3, with the same instructions behind a flag, which
 * V8 reads whenever it compiles a module.
 */
if (!hasRelaxedSimd()) setFlagsFromString('--experimental-wasm-relaxed-simd');
const fused = hasRelaxedSimd();

/**
 * x·y + z, rounded once where the processor has such an instruction and the engine relaxed SIMD, else twice: always
 * the same on one machine.
 */
export const multiplyAdd = (x: V128, y: V128, z: V128): V128 =>
  fused ? f32x4.relaxedMadd(x, y, z) : f32x4.add(f32x4.mul(x, y), z);
