import { ConfigError } from '@flex/base';
import { DTypeError, ShapeError } from '../errors.ts';
import { type CompositeOp, defineOp } from '../op.ts';
import { type Shape, show, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';
import { mul } from './arithmetic.ts';
import { cachedTable, chain, complexSteps, type Step } from './fft/complex.ts';
import { type BinWeights, binsToHalfOp, halfLengthTable, halfToBinsOp } from './fft/half-length.ts';
import { reshape } from './reshape.ts';
import { pad, slice } from './slice-pad.ts';

/** What the forward and the inverse transform are multiplied by: (1, 1/n), (1/√n, 1/√n) or (1/n, 1). */
export type FftNorm = 'backward' | 'ortho' | 'forward';

export interface FftOptions {
  /** Left out: `backward`. */
  readonly norm?: FftNorm;
}

/**
 * The one-sided DFT X_k = s·Σ_j x_j·e^(−2πi·jk/n), k ≤ n/2, along the last axis, as numpy.fft.rfft.
 * f32 [.., n], n ≥ 1 → f32 [.., ⌊n/2⌋ + 1, 2] (re, im).
 * s is 1 (`backward`), 1/√n (`ortho`) or 1/n (`forward`).
 * The number of kernels depends on n alone. Throws ShapeError for a scalar or an empty axis.
 */
export function rfft(x: Tensor, { norm = 'backward' }: FftOptions = {}): Tensor {
  const n = x.shape.at(-1) ?? 0;
  return toBins(x, { n, scale: scaleOf(norm, n).forward, inner: 1 });
}

/**
 * The real vector of length n whose rfft is X, as numpy.fft.irfft: the imaginary part of bin 0, and
 * of bin n/2 where n is even, does not count. f32 [.., ⌊n/2⌋ + 1, 2] (re, im) → f32 [.., n].
 * Throws ShapeError when the bins are not those of n.
 */
export function irfft(X: Tensor, n: number, { norm = 'backward' }: FftOptions = {}): Tensor {
  return toSignal(X, { n, scale: scaleOf(norm, n).inverse, inner: 2 });
}

function scaleOf(norm: FftNorm, n: number): { readonly forward: number; readonly inverse: number } {
  switch (norm) {
    case 'backward':
      return { forward: 1, inverse: 1 / n };
    case 'ortho':
      return { forward: 1 / Math.sqrt(n), inverse: 1 / Math.sqrt(n) };
    case 'forward':
      return { forward: 1 / n, inverse: 1 };
    default:
      throw new ConfigError(`fft: norm must be backward, ortho or forward, got ${String(norm)}`);
  }
}

interface RealAttrs extends BinWeights {
  /** Length of the real vectors. */
  readonly n: number;
}

const binsOf = (n: number) => Math.floor(n / 2) + 1;

// With c_k = scale at bin 0 and n/2 and scale·inner between, these two are each other's adjoint:
// x → X_k = c_k·Σ_j x_j·e^(−2πi·jk/n), and X → x_j = Σ_k c_k·Re(X_k·e^(2πi·jk/n)).

const rfftOp: CompositeOp<RealAttrs> = defineOp({
  kind: 'composite',
  name: 'rfft',
  infer([x], { n }) {
    if (x.dtype !== 'f32') throw new DTypeError(`rfft: needs f32, got ${show(x)}`);
    if (!(n >= 1)) throw new ShapeError(`rfft: needs a last axis of 1 or more, got ${show(x)}`);
    return { shape: [...x.shape.slice(0, -1), binsOf(n), 2], dtype: 'f32' };
  },
  composed: ([x], attrs) => {
    const shape = [...x.shape.slice(0, -1), binsOf(attrs.n), 2];
    return chain(x, [...toBinsSteps(size(x.shape) / attrs.n, attrs), to(shape)]);
  },
  vjp: ([g], _inputs, _outputs, attrs) => [() => toSignal(g, attrs)],
  samples: [1, 2, 7, 8, 30].map((n) => ({ shapes: [[2, n]], attrs: { n, scale: 0.5, inner: 2 } })),
});

const irfftOp: CompositeOp<RealAttrs> = defineOp({
  kind: 'composite',
  name: 'irfft',
  infer([X], { n }) {
    if (X.dtype !== 'f32') throw new DTypeError(`irfft: needs f32, got ${show(X)}`);
    if (!Number.isInteger(n) || n < 1) throw new ShapeError(`irfft: needs a length of 1 or more, got ${n}`);
    if (X.shape.length < 2 || X.shape.at(-2) !== binsOf(n) || X.shape.at(-1) !== 2) {
      throw new ShapeError(`irfft: length ${n} needs f32[.., ${binsOf(n)}, 2], got ${show(X)}`);
    }
    return { shape: [...X.shape.slice(0, -2), n], dtype: 'f32' };
  },
  composed: ([X], attrs) => {
    const count = size(X.shape) / (2 * binsOf(attrs.n));
    return chain(X, [...toSignalSteps(count, attrs), to([...X.shape.slice(0, -2), attrs.n])]);
  },
  vjp: ([g], _inputs, _outputs, attrs) => [() => toBins(g, attrs)],
  samples: [1, 2, 7, 8, 30].map((n) => ({ shapes: [[2, binsOf(n), 2]], attrs: { n, scale: 0.5, inner: 2 } })),
});

const toBins = (x: Tensor, attrs: RealAttrs): Tensor => apply(rfftOp, [x], attrs);
const toSignal = (X: Tensor, attrs: RealAttrs): Tensor => apply(irfftOp, [X], attrs);

/** A step that gives what it gets another shape. */
const to =
  (shape: Shape): Step =>
  (x) =>
    reshape(x, shape);

function toBinsSteps(count: number, { n, scale, inner }: RealAttrs): Step[] {
  if (n % 2 === 1) {
    return [
      to([count * n, 1]),
      (x) => pad(x, [0, 0], [0, 1]),
      to([count, n, 2]),
      ...complexSteps(n),
      (z) => slice(z, [0, 0, 0], [count, binsOf(n), 2]),
      (X) => mul(X, oddWeights(X, n, { scale, inner }, 1)),
    ];
  }
  const m = n / 2;
  return [
    to([count, m, 2]),
    ...complexSteps(m),
    (z) => apply(halfToBinsOp, [z, halfTable(z, m)], { scale, inner }),
  ];
}

function toSignalSteps(count: number, { n, scale, inner }: RealAttrs): Step[] {
  if (n % 2 === 1) {
    return [
      to([count, binsOf(n), 2]),
      // The real part of an inverse DFT is that of the DFT of the conjugate.
      (X) => mul(X, oddWeights(X, n, { scale, inner }, -1)),
      (X) => pad(X, [0, 0, 0], [0, n - binsOf(n), 0]),
      ...complexSteps(n),
      to([count * n, 2]),
      (z) => slice(z, [0, 0], [count * n, 1]),
    ];
  }
  const m = n / 2;
  return [
    to([count, m + 1, 2]),
    (X) => apply(binsToHalfOp, [X, halfTable(X, m)], { scale, inner }),
    ...complexSteps(m),
  ];
}

const halfTable = ({ backend }: Tensor, m: number): Tensor =>
  cachedTable(backend, `half length ${m}`, () => halfLengthTable(m));

/** [bins, 2]: c_k for the real part of each bin, sign·c_k for the imaginary one, but 0 at bin 0. */
function oddWeights({ backend }: Tensor, n: number, { scale, inner }: BinWeights, sign: 1 | -1): Tensor {
  return cachedTable(backend, `odd ${n} ${scale} ${inner} ${sign}`, () =>
    Float64Array.from({ length: 2 * binsOf(n) }, (_, i) => {
      if (i < 2) return i === 0 ? scale : 0;
      return scale * inner * (i % 2 === 0 ? 1 : sign);
    }),
  );
}
