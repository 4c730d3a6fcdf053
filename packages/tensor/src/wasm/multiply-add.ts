import { setFlagsFromString } from 'node:v8';
import { Body } from './body.ts';
import { validate } from './engine.ts';
import { f32x4, type V128 } from './values.ts';

let fused: boolean | undefined;

/**
 * x·y + z: rounded once where the processor has an instruction for it and the engine relaxed SIMD, else
 * twice; always the same in one process.
 */
export function multiplyAdd(x: V128, y: V128, z: V128): V128 {
  fused ??= hasRelaxedSimd() || hasRelaxedSimdBehindFlag();
  return fused ? f32x4.relaxedMadd(x, y, z) : f32x4.add(f32x4.mul(x, y), z);
}

function hasRelaxedSimd(): boolean {
  const w = new Body([]);
  w.let(f32x4.relaxedMadd(f32x4.const(0), f32x4.const(0), f32x4.const(0)));
  return validate(w.module());
}

/** Node 20's V8 is the last with relaxed SIMD behind a flag, which it reads whenever it compiles a module. */
function hasRelaxedSimdBehindFlag(): boolean {
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  return hasRelaxedSimd();
}
