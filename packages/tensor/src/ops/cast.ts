import { DTypeError } from '../errors.ts';
import { float16BitsToFloat32, toFloat16Bits } from '../half-floats.ts';
import { kernel, wide } from '../kernel-record.ts';
import { defineOp, type HostArray, type KernelOp, known, sample } from '../op.ts';
import { isQuantized } from '../quantized.ts';
import type { QuantizedDType } from '../quantized-layout.ts';
import { type LoadFour, quantizedFours, scalesOf } from '../quantized-wasm.ts';
import { scaleParams, scaleWgsl } from '../quantized-wgsl.ts';
import { bytesPerElement, type DType, show, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import {
  f32x4,
  halved,
  type I32,
  i16x8,
  i32,
  i32x4,
  type KernelBody,
  type V128,
  v128,
  wasmKernel,
  widened,
} from '../wasm/index.ts';
import { load4 } from '../wgsl.ts';

interface CastAttrs {
  readonly dtype: DType;
}

// NUMERICS: WGSL leaves the rounding of pack2x16float to the driver, and what is too large for f16 undefined.
// So the bits are rounded to nearest even by integer arithmetic, as in
// half-floats.ts; infinities and NaN stay.
export const halfBits = `fn halfBits(x: vec4f) -> vec4u {
  let bits = bitcast<vec4u>(x);
  let magnitude = bits & vec4u(0x7fffffffu);
  let rebiased = magnitude - vec4u(0x38000000u);
  let normal = (rebiased + vec4u(0xfffu) + ((rebiased >> vec4u(13u)) & vec4u(1u))) >> vec4u(13u);
  // A subnormal f16 counts units of 2^-24.
  let shift = min(vec4u(126u) - min(magnitude >> vec4u(23u), vec4u(112u)), vec4u(25u));
  let mantissa = (magnitude & vec4u(0x7fffffu)) | vec4u(0x800000u);
  let half = vec4u(1u) << (shift - vec4u(1u));
  let small = (mantissa + half - vec4u(1u) + ((mantissa >> shift) & vec4u(1u))) >> shift;
  let large = select(vec4u(0x7c00u), vec4u(0x7e00u), magnitude > vec4u(0x7f800000u));
  let finite = select(normal, small, magnitude < vec4u(0x38800000u));
  return ((bits >> vec4u(16u)) & vec4u(0x8000u)) | select(finite, large, magnitude >= vec4u(0x47800000u));
}`;

/** How four elements in xs are written to out. */
interface Conversion {
  readonly value: string;
  readonly host: (x: HostArray, out: HostArray) => void;
  /** In four lanes, of what lies at an address; `load` reads four of four bytes, or of int8 and nf4. */
  readonly wasm: (w: KernelBody, at: I32, load: LoadFour) => V128;
}

const dequantized = (dtype: QuantizedDType): Conversion => ({
  value: load4('xs', dtype, 'flat'),
  host: (x, out) => out.set(x),
  wasm: (w, at, load) => load(w, at),
});

/** By `from to`. */
const conversions: Readonly<Record<string, Conversion>> = {
  'f32 f16': {
    value: 'pack(halfBits(xs[flat]))',
    host: (xs, out) => out.set(out instanceof Float64Array ? xs : float16BitsToFloat32(toFloat16Bits(xs))),
    wasm: (w, at, load) => halved(w, load(w, at)),
  },
  'f16 f32': {
    value: load4('xs', 'f16', 'flat'),
    host: (xs, out) => out.set(xs),
    wasm: (w, at) => widened(w.let(v128.load16x4U(at))),
  },
  'i32 f32': {
    value: 'vec4f(xs[flat])',
    host: (xs, out) => out.set(xs),
    wasm: (w, at, load) => f32x4.convertI32x4S(load(w, at)),
  },
  'int8 f32': dequantized('int8'),
  'nf4 f32': dequantized('nf4'),
  'f32 i32': {
    value: 'vec4i(xs[flat])',
    host: (xs, out) => out.set(xs),
    wasm: (w, at, load) => i32x4.truncSatF32x4S(load(w, at)),
  },
};

const castOp: KernelOp<CastAttrs> = defineOp({
  kind: 'kernel',
  name: 'cast',
  infer([x], { dtype }) {
    if (!conversions[`${x.dtype} ${dtype}`]) {
      throw new DTypeError(
        `cast: converts f32 to and from f16 and i32, and int8 and nf4 to f32, got ${show(x)} to ${dtype}`,
      );
    }
    return { shape: x.shape, dtype };
  },
  wgsl: ([x], [output]) =>
    kernel({
      name: 'cast',
      in: { xs: wide(x) },
      out: { out: wide(output) },
      params: scaleParams('xs', x),
      variant: [x.dtype],
      grid: { cells: Math.ceil(size(output.shape) / 4) },
      declarations: () => {
        const pack = 'fn pack(h: vec4u) -> vec2u { return h.xz | (h.yw << vec2u(16u)); }';
        return output.dtype === 'f16' ? `${halfBits}\n${pack}` : scaleWgsl('xs', x.dtype);
      },
      body: () => `  out[flat] = ${conversions[`${x.dtype} ${output.dtype}`].value};`,
    }),
  host([x], [output]) {
    const { host } = conversions[`${x.dtype} ${output.dtype}`];
    return ([xs], [out]) => host(xs, out);
  },
  wasm([x], [output]) {
    const shift = (dtype: DType) => 2 + Math.log2(bytesPerElement[dtype]);
    return wasmKernel({
      name: 'cast',
      in: { xs: x },
      out: { out: output },
      params: scaleParams('xs', x),
      // An item is four elements; there is memory for the last ones in any case.
      items: Math.ceil(size(output.shape) / 4),
      cost: 2,
      body: (w, { xs, out, ...parts }) => {
        const load: LoadFour = isQuantized(x)
          ? quantizedFours(w, x, scalesOf('xs', xs, parts))
          : (w, address) => w.let(v128.load(address));
        w.range(w.from, w.to, 1, (i) => {
          const { wasm } = conversions[`${x.dtype} ${output.dtype}`];
          const four = w.let(wasm(w, w.let(i32.add(xs, i32.shl(i, shift(x.dtype)))), load));
          const to = i32.add(out, i32.shl(i, shift(output.dtype)));
          if (output.dtype === 'f16') w.storeLane64(to, i16x8.narrowI32x4U(four, four), 0);
          else w.store(to, four);
        });
      },
    });
  },
  vjp: ([g], [x], [y]) => [x.dtype === 'i32' || y.dtype === 'i32' ? null : () => cast(g, 'f32')],
  samples: [
    sample('[]', { dtype: 'f16' }),
    sample('[3, 5]', { dtype: 'f16' }),
    sample('[2, 4]', { dtype: 'i32' }),
  ],
  known: [
    known('[1, -2, 0.5, 0, 65504]', [1, -2, 0.5, 0, 65504], { dtype: 'f16' }),
    known('[1.75, -1.75, 2]', [1, -1, 2], { dtype: 'i32' }),
  ],
  // Half the spacing of f16, which the f64 reference does not round to.
  tolerance: 2 ** -11,
});

/**
 * The same numbers in another element type: f32 ↔ f16, i32 ↔ f32, int8 or nf4 → f32. [..] → dtype [..].
 * To f16 it rounds to nearest even, from 65,520 on to infinity; the f64 reference does not round.
 * To i32 it drops the fraction, for |x| < 2³¹. What makes int8 and nf4 is `tensor`, on the host. The gradient
 * passes f16, int8 and nf4 unchanged, in f32; i32 has none.
 * Throws DTypeError for other pairs.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : apply(castOp, [x], { dtype });
}
