import { moduleBytes } from '../../wasm/encode.ts';
import { validate } from '../../wasm/engine.ts';
import { f32, f32x4 } from '../../wasm/values.ts';

const drop = 0x1a;

/** Why `openWasm` cannot work in this process, or null where it can: it needs SIMD and a memory that threads share. */
export function whyNoWasm(): string | null {
  if (!('WebAssembly' in globalThis)) return 'this JavaScript engine has no WebAssembly';
  const smallest = moduleBytes([], [], [f32x4.splat(f32.const(0)).code, drop]);
  return validate(smallest) ? null : 'WebAssembly has no SIMD or no shared memory here';
}
