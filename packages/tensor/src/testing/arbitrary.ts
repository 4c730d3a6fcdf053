import fc from 'fast-check';
import { float16BitsToFloat32, toFloat16Bits } from '../half-floats.ts';
import type { AnyOp, Domain, HostArray, Sample } from '../op.ts';
import { dequantize, isQuantized, quantize } from '../quantized.ts';
import { type DType, type Shape, type Spec, show, size } from '../shape.ts';

/**
 * An input of an op as numbers; those that are drawn are exact in f32, so every backend gets the same ones.
 */
export interface DrawnInput extends Spec {
  readonly data: HostArray;
  /** Of int8 and nf4: the elements as they are stored. */
  readonly bytes?: Uint8Array;
}

/** Inputs of one sample, and the attributes they are for. */
export interface DrawnSample {
  readonly inputs: readonly DrawnInput[];
  readonly attrs: object;
}

/**
 * How real numbers are drawn. `any`: on a fine grid over the domain, one in eight of them an edge of it, 0 or
 * ±1, so that ties and zeros occur. `apart`: all inputs' numbers different, and off the domain's middle, by
 * far more than a difference quotient's step, so that no kink is crossed.
 */
export type Spread = 'any' | 'apart';

const everywhere: Domain = { kind: 'real', min: -2, max: 2 };

/** The domain of an op's input: real numbers in [-2, 2] where it names none. */
export function domainOf(op: AnyOp, input: number): Domain {
  return op.domains?.[input] ?? everywhere;
}

/** The element type the generated tests give an input: i32 for indices, else f32. */
export function dtypeOf(op: AnyOp, input: number): DType {
  return domainOf(op, input).kind === 'index' ? 'i32' : 'f32';
}

/** What an op's inputs are at a sample, before any numbers. */
export function specsOf(op: AnyOp, { shapes }: Sample<object>): Spec[] {
  return shapes.map((shape, i) => ({ shape, dtype: dtypeOf(op, i) }));
}

const seeds = fc.noShrink(fc.integer({ min: 0, max: 2 ** 31 - 1 }));

/** A generator of numbers in [0, 1), for what a test draws besides an op's inputs. */
export const arbitraryRandom: fc.Arbitrary<() => number> = seeds.map((seed) =>
  named(randomFrom(seed), `seed ${seed}`),
);

/** Numbers for every sample of an op, drawn from its domains; a counterexample shows the shapes. */
export function arbitrarySamples(op: AnyOp, spread: Spread = 'any'): fc.Arbitrary<readonly DrawnSample[]> {
  return seeds.map((seed) => {
    const random = randomFrom(seed);
    const drawn = (op.samples as readonly Sample<object>[]).map((sample) => ({
      inputs: drawInputs(op, specsOf(op, sample), spread, random),
      attrs: sample.attrs,
    }));
    return named(drawn, `${op.name}: ${drawn.map((s) => s.inputs.map(show).join(' ')).join('; ')}`);
  });
}

/** f32 numbers of a shape, uniform in [-1, 1]: seeds and directions. */
export function drawUniform(shape: Shape, random: () => number): DrawnInput {
  return { shape, dtype: 'f32', data: Float32Array.from({ length: size(shape) }, () => 2 * random() - 1) };
}

/** The input as it is once stored as another type; its numbers are rounded, so all backends see the same. */
export function asType({ shape, data }: DrawnInput, dtype: DType): DrawnInput {
  if (dtype === 'f32') return { shape, dtype, data: Float32Array.from(data) };
  if (dtype === 'f16') return { shape, dtype, data: float16BitsToFloat32(toFloat16Bits(data)) };
  const spec = { shape, dtype };
  if (isQuantized(spec)) {
    const bytes = quantize(spec, [Float32Array.from(data)]);
    return { ...spec, data: dequantize(spec, bytes), bytes };
  }
  const whole = Float32Array.from(data, (x) => Math.ceil(Math.abs(x)));
  return { shape, dtype, data: dtype === 'i32' ? Int32Array.from(whole) : Uint32Array.from(whole) };
}

/** Gives a value a short text in fast-check's reports. */
function named<T extends object>(value: T, text: string): T {
  return Object.defineProperty(value, fc.toStringMethod, { value: () => text, enumerable: false });
}

function drawInputs(op: AnyOp, specs: readonly Spec[], spread: Spread, random: () => number): DrawnInput[] {
  // For `apart`, the n-th part of its domain that each number of all inputs lies in: a random permutation.
  const total = specs.reduce((sum, { shape }) => sum + size(shape), 0);
  const parts = spread === 'apart' ? shuffle(total, random) : [];
  let drawn = 0;
  return specs.map((spec, i) => {
    const domain = domainOf(op, i);
    const number = (): number => {
      if (domain.kind === 'index') return Math.floor(random() * domain.below);
      const { min, max } = domain;
      if (spread === 'any') return anywhere(min, max, random);
      return min + ((max - min) * (parts[drawn++] + 0.25 + 0.2 * random())) / total;
    };
    const numbers = Array.from({ length: size(spec.shape) }, number);
    return { ...spec, data: spec.dtype === 'i32' ? Int32Array.from(numbers) : Float32Array.from(numbers) };
  });
}

function anywhere(min: number, max: number, random: () => number): number {
  if (random() < 1 / 8) {
    const edges = [min, max, 0, 1, -1].filter((x) => x >= min && x <= max);
    return edges[Math.floor(random() * edges.length)];
  }
  // The grid keeps clear of numbers so small that devices flush them to zero.
  return min + ((max - min) * Math.floor(random() * 2 ** 16)) / 2 ** 16;
}

function shuffle(n: number, random: () => number): Int32Array {
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Mulberry32 (T. Ettinger, 2017): 32 bits of state. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
