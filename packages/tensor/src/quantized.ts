import { ShapeError } from './errors.ts';
import { nf4Block, nf4Group, type QuantizedDType, quantizedLayout, scaleValues } from './quantized-layout.ts';
import { bytesOf, type Spec, size } from './shape.ts';

/** What a quantized tensor is. */
export interface QuantizedSpec extends Spec {
  readonly dtype: QuantizedDType;
}

export const isQuantized = (spec: Spec): spec is QuantizedSpec =>
  spec.dtype === 'int8' || spec.dtype === 'nf4';

/** Where its parts lie. */
export const layoutOf = ({ dtype, shape }: QuantizedSpec) =>
  quantizedLayout(dtype, size(shape), shape.at(-1));

/**
 * The 16 values of NF4: quantiles of the normal distribution, scaled to [−1, 1], of which one is 0.
 * Source: Dettmers et al. 2023, QLoRA, arXiv:2305.14314, appendix E.
 */
export const nf4Values = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/**
 * The 256 values of dynamic tree quantization with a sign, ascending: 0, 1, and ± the middles of 2ᵉ equal
 * parts of [0.1, 1], times 10ᵉ⁻⁶, for e = 0 … 6.
 * Source: Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861, section 2.
 */
export const dynamicValues: Float32Array = Float32Array.from([
  0,
  1,
  ...Array.from({ length: 7 }, (_, e) =>
    Array.from({ length: 2 ** e }, (_, i) => (0.1 + (0.9 * (2 * i + 1)) / 2 ** (e + 1)) / 10 ** (6 - e)),
  ).flatMap((middles) => [...middles, ...middles.map((x) => -x)]),
]).sort();

/** Codes of ascending values in [−1, 1]. */
interface Coder {
  /** Between each two neighbours; behind the last, infinity. */
  readonly middles: Float64Array;
  /** The first code that a number in one of equal parts of [−1, 1] may have. */
  readonly beginnings: Uint8Array;
}

const cells = 1024;

function coderOf(values: Float32Array): Coder {
  const middles = Float64Array.from(values, (x, i) =>
    i + 1 < values.length ? (x + values[i + 1]) / 2 : Number.POSITIVE_INFINITY,
  );
  // From the part before on, so that a quotient rounded up to a part's edge begins low enough.
  const begins = (part: number) => middles.findIndex((middle) => (2 * (part - 1)) / cells - 1 <= middle);
  return { middles, beginnings: Uint8Array.from({ length: cells + 1 }, (_, part) => begins(part)) };
}

/** The code of the value nearest to x in [−1, 1], the smaller of two that are as near. */
function codeOf({ middles, beginnings }: Coder, x: number): number {
  let code = beginnings[((x + 1) * (cells / 2)) | 0];
  while (x > middles[code]) code++;
  return code;
}

/** Made when they are first needed, as most programs quantize nothing. */
const lazily = (values: Float32Array) => {
  let coder: Coder | undefined;
  return () => (coder ??= coderOf(values));
};
const nf4Coder = lazily(nf4Values);
const scaleCoder = lazily(dynamicValues);

/**
 * The bytes of a quantized tensor from its elements f32, row-major, in pieces of any length.
 *
 * - int8: round(w / c), ties to even, with c = max|row| / 127 for each row, f32 (the weights of LLM.int8:
 *   Dettmers et al. 2022, arXiv:2208.07339).
 * - nf4: two codes a byte, the first in its upper half: the value of NF4 nearest to w / a with a = max|block|
 *   for each 64 elements. The scales are codes too: with the mean m of all a, rounded to f32, and
 *   g = max|a − m| for each 256 of them, that of the dynamic value nearest to (a − m) / g (QLoRA's double
 *   quantization, section 3; quotients in f64).
 *
 * Throws RangeError for an element that is not finite, which no code stands for, and ShapeError where there
 * are not as many as the shape has.
 */
export function quantize(spec: QuantizedSpec, pieces: Iterable<Float32Array>): Uint8Array<ArrayBuffer> {
  const quantizer = newQuantizer(spec);
  for (const piece of pieces) quantizer.add(piece);
  return quantizer.end().bytes;
}

/** `quantize` of elements that come one after the other. */
export interface Quantizer {
  add(piece: Float32Array): void;
  /** Once all elements were added. */
  end(): Quantized;
}

/** A tensor as it is stored, and how far that is from what it was: ‖stored − given‖ / ‖given‖, else 0. */
export interface Quantized {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly error: number;
}

export function newQuantizer(spec: QuantizedSpec): Quantizer {
  const bytes = new Uint8Array(bytesOf(spec));
  const runs = spec.dtype === 'int8' ? int8Runs(spec, bytes) : nf4Runs(spec, bytes);
  const { length } = runs;
  const carried = new Float32Array(length);
  let held = 0;
  let done = 0;
  const take = (w: Float32Array, from: number, count: number): void => {
    if (done + count > size(spec.shape)) throw wrongCount(spec, 'more numbers than');
    runs.take(w, from, count, done);
    done += count;
  };
  return {
    add(piece) {
      let at = Math.min(piece.length, held > 0 ? length - held : 0);
      carried.set(piece.subarray(0, at), held);
      held += at;
      if (held === length) {
        take(carried, 0, length);
        held = 0;
      }
      if (held > 0) return;
      for (; at + length <= piece.length; at += length) take(piece, at, length);
      carried.set(piece.subarray(at));
      held = piece.length - at;
    },
    end() {
      if (held > 0) take(carried, 0, held);
      if (done < size(spec.shape)) throw wrongCount(spec, `${done} numbers, fewer than`);
      const { squares, differences } = runs.end();
      return { bytes, error: squares === 0 ? 0 : Math.sqrt(differences / squares) };
    },
  };
}

const wrongCount = ({ dtype, shape }: Spec, what: string) =>
  new ShapeError(`${dtype}: got ${what} [${shape.join(', ')}] has`);

/** How runs of elements that share a scale are written. */
interface Runs {
  readonly length: number;
  /** Elements from … from + count − 1 of w, which are `first` … of the tensor. */
  take(w: Float32Array, from: number, count: number, first: number): void;
  /** Writes what follows from all of them. Gives Σ w² and Σ (stored − w)². */
  end(): { readonly squares: number; readonly differences: number };
}

/** The largest magnitude. */
function largestOf(dtype: QuantizedDType, w: Float32Array, from: number, count: number): number {
  let largest = 0;
  for (let i = from; i < from + count; i++) largest = Math.max(largest, Math.abs(w[i])); // NaN stays
  if (largest < Number.POSITIVE_INFINITY) return largest;
  throw new RangeError(`${dtype}: has no code for ${Number.isNaN(largest) ? 'NaN' : 'infinity'}`);
}

function int8Runs(spec: QuantizedSpec, bytes: Uint8Array<ArrayBuffer>): Runs {
  const columns = spec.shape.at(-1)!;
  const codes = new Int8Array(bytes.buffer);
  const scales = new Float32Array(bytes.buffer, 4 * layoutOf(spec).scales);
  let [squares, differences] = [0, 0];
  return {
    length: Math.max(1, columns),
    take(w, from, count, first) {
      const scale = Math.fround(largestOf('int8', w, from, count) / 127);
      scales[first / columns] = scale;
      for (let i = 0; i < count; i++) {
        const x = w[from + i];
        // Within ±127: a scale that is subnormal may have been rounded down by much.
        const code = scale === 0 ? 0 : Math.max(-127, Math.min(127, toNearestEven(x / scale)));
        codes[first + i] = code;
        const apart = code * scale - x;
        squares += x * x;
        differences += apart * apart;
      }
    },
    end: () => ({ squares, differences }),
  };
}

/** Where the spacing of f64 is 1. */
const ones = 1.5 * 2 ** 52;
const toNearestEven = (x: number): number => x + ones - ones;

function nf4Runs(spec: QuantizedSpec, bytes: Uint8Array<ArrayBuffer>): Runs {
  const parts = nf4Parts(spec, bytes);
  const { values, mean, blocks, groups } = parts;
  const coder = nf4Coder();
  const zero = codeOf(coder, 0) * 0x11;
  const largest = new Float32Array(blocks.length);
  // Of each block Σ w·v and Σ v² of the values v of its codes: its error follows, once its scale is known.
  const [products, valueSquares] = [new Float64Array(blocks.length), new Float64Array(blocks.length)];
  let squares = 0;
  return {
    length: nf4Block,
    take(w, from, count, first) {
      const scale = largestOf('nf4', w, from, count);
      const block = first / nf4Block;
      largest[block] = scale;
      if (scale === 0) {
        bytes.fill(zero, first / 2, (first + count) / 2);
        return;
      }
      for (let i = 0; i < count; i += 2) {
        const [x, y] = [w[from + i], w[from + i + 1]];
        const upper = codeOf(coder, x / scale);
        const lower = codeOf(coder, y / scale);
        bytes[(first + i) / 2] = (upper << 4) | lower;
        const [u, v] = [nf4Values[upper], nf4Values[lower]];
        squares += x * x + y * y;
        products[block] += x * u + y * v;
        valueSquares[block] += u * u + v * v;
      }
    },
    end() {
      values.set(dynamicValues);
      let total = 0;
      for (const scale of largest) total += scale;
      mean[0] = blocks.length > 0 ? total / blocks.length : 0;
      for (let group = 0; group < groups.length; group++) {
        const [from, to] = [group * nf4Group, Math.min(blocks.length, (group + 1) * nf4Group)];
        const apart = largest.subarray(from, to).map((scale) => scale - mean[0]);
        groups[group] = largestOf('nf4', apart, 0, apart.length);
        for (const [i, x] of apart.entries()) {
          blocks[from + i] = codeOf(scaleCoder(), groups[group] === 0 ? 0 : x / groups[group]);
        }
      }
      let differences = squares;
      for (const block of blocks.keys()) {
        const scale = nf4Scale(parts, block);
        differences += scale * (scale * valueSquares[block] - 2 * products[block]);
      }
      return { squares, differences: Math.max(0, differences) };
    },
  };
}

/** The parts of an nf4 tensor behind its codes. */
function nf4Parts(spec: QuantizedSpec, { buffer, byteOffset }: Uint8Array) {
  const { scales, groups } = layoutOf(spec);
  const at = (word: number) => byteOffset + 4 * word;
  const blocks = Math.ceil(size(spec.shape) / nf4Block);
  return {
    values: new Float32Array(buffer, at(scales), scaleValues),
    mean: new Float32Array(buffer, at(scales + scaleValues), 1),
    blocks: new Uint8Array(buffer, at(scales + scaleValues + 1), blocks),
    groups: new Float32Array(buffer, at(groups), Math.ceil(blocks / nf4Group)),
  };
}

/** The scale that a block's code stands for, f32. */
function nf4Scale({ values, mean, blocks, groups }: ReturnType<typeof nf4Parts>, block: number): number {
  return Math.fround(Math.fround(values[blocks[block]] * groups[Math.floor(block / nf4Group)]) + mean[0]);
}

/**
 * The elements `from` … `to` − 1 that a quantized tensor's bytes stand for, f32, and all of them unless it is
 * said which: of int8 code · c; of nf4 value · a with a = dynamic value · g + m. Each product and the sum are
 * rounded to f32. Both ends are multiples of a row's length in int8 and of 64 in nf4, or the tensor's end.
 */
export function dequantize(
  spec: QuantizedSpec,
  bytes: Uint8Array,
  from = 0,
  to = size(spec.shape),
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(to - from);
  const count = size(spec.shape);
  if (spec.dtype === 'int8') {
    const columns = spec.shape.at(-1)!;
    const codes = new Int8Array(bytes.buffer, bytes.byteOffset, count);
    const rows = columns === 0 ? 0 : count / columns;
    const scales = new Float32Array(bytes.buffer, bytes.byteOffset + 4 * layoutOf(spec).scales, rows);
    for (let i = from; i < to; i += columns) {
      const scale = scales[i / columns];
      for (let j = i; j < i + columns; j++) out[j - from] = codes[j] * scale;
    }
    return out;
  }
  const parts = nf4Parts(spec, bytes);
  for (let first = from; first < to; first += nf4Block) {
    const scale = nf4Scale(parts, first / nf4Block);
    for (let i = first; i < Math.min(to, first + nf4Block); i += 2) {
      const pair = bytes[i / 2];
      out[i - from] = nf4Values[pair >> 4] * scale;
      out[i - from + 1] = nf4Values[pair & 15] * scale;
    }
  }
  return out;
}
