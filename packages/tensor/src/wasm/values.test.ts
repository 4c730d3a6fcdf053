import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KernelBody } from '../wasm-kernel.ts';
import { signed, unsigned } from './encode.ts';
import { Instance, Memory, Module } from './engine.ts';
import { element, fours } from './fours.ts';
import * as values from './values.ts';
import {
  type F32,
  f32,
  f32x4,
  f64,
  f64x2,
  type I32,
  i16x8,
  i32,
  i32x4,
  i64x2,
  type V128,
  type Value,
  v128,
} from './values.ts';

const memory = new Memory({ initial: 1, maximum: 65_536, shared: true });
const bytes = new Uint8Array(memory.buffer);
const floats = new Float32Array(memory.buffer);
const ints = new Int32Array(memory.buffer);

/** Runs statements with [from, to) as given; the arguments are at byte 0, so that `w.args` is the memory. */
function runBody(write: (w: KernelBody) => void, [from, to] = [0, 1]): void {
  const w = new KernelBody();
  write(w);
  new Instance(new Module(w.module()), { kernel: { memory } }).exports.run(from, to, 0, 1024);
}

/** Where operands begin, and where results are written. */
const operandAt = (k: number) => 64 + 16 * k;
const resultAt = 256;

/** What a function of 16-byte operands gives, as bytes. */
function lanesOf(
  f: (...args: V128[]) => Value,
  ...operands: readonly (readonly number[] | ArrayBufferView)[]
) {
  bytes.fill(0, 0, 512);
  operands.forEach((operand, k) => {
    const view = ArrayBuffer.isView(operand) ? operand : Float32Array.from(operand as number[]);
    bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength), operandAt(k));
  });
  runBody((w) => w.store(w.args, f(...operands.map((_, k) => v128.load(w.args, operandAt(k)))), resultAt));
  return bytes.slice(resultAt, resultAt + 16);
}
const f32s = (data: Uint8Array) => [...new Float32Array(data.buffer)];
const i32s = (data: Uint8Array) => [...new Int32Array(data.buffer)];
const f64s = (data: Uint8Array) => [...new Float64Array(data.buffer)];

const special = [0, -0, 1, -1, 0.5, 1.5, 2.5, -2.5, 1e-40, 3e38, Infinity, -Infinity, NaN];
const anyF32 = fc.oneof(fc.float({ noDefaultInfinity: false }), fc.constantFrom(...special.map(Math.fround)));
const quad = (of: fc.Arbitrary<number>) => fc.array(of, { minLength: 4, maxLength: 4 });

const nan = Number.NaN;
const minimum = (x: number, y: number) => Math.min(x, y);
/** y where a < b, else x: what is left of a minimum when one of them is NaN. */
const unlessLess = (x: number, y: number, a: number, b: number) => [x, y][Number(a < b)];
const floatOps: Record<string, [(x: V128, y: V128) => V128, (x: number, y: number) => number]> = {
  add: [f32x4.add, (x, y) => x + y],
  sub: [f32x4.sub, (x, y) => x - y],
  mul: [f32x4.mul, (x, y) => x * y],
  div: [f32x4.div, (x, y) => x / y],
  min: [f32x4.min, minimum],
  max: [f32x4.max, (x, y) => Math.max(x, y)],
  pmin: [f32x4.pmin, (x, y) => unlessLess(x, y, y, x)],
  pmax: [f32x4.pmax, (x, y) => unlessLess(x, y, x, y)],
  abs: [(x) => f32x4.abs(x), Math.abs],
  neg: [(x) => f32x4.neg(x), (x) => -x],
  sqrt: [(x) => f32x4.sqrt(x), (x) => Math.sqrt(x)],
  ceil: [(x) => f32x4.ceil(x), (x) => Math.ceil(x)],
  floor: [(x) => f32x4.floor(x), (x) => Math.floor(x)],
  trunc: [(x) => f32x4.trunc(x), (x) => Math.trunc(x)],
  // To even where two are as near.
  nearest: [
    (x) => f32x4.nearest(x),
    (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : x < 0 ? -Math.round(-x) : Math.round(x)),
  ],
};
const comparisons: Record<string, [(x: V128, y: V128) => V128, (x: number, y: number) => boolean]> = {
  eq: [f32x4.eq, (x, y) => x === y],
  ne: [f32x4.ne, (x, y) => x !== y],
  lt: [f32x4.lt, (x, y) => x < y],
  gt: [f32x4.gt, (x, y) => x > y],
  le: [f32x4.le, (x, y) => x <= y],
  ge: [f32x4.ge, (x, y) => x >= y],
};
const wholeOps: Record<string, [(x: V128, y: V128) => V128, (x: number, y: number) => number]> = {
  add: [i32x4.add, (x, y) => x + y],
  sub: [i32x4.sub, (x, y) => x - y],
  mul: [i32x4.mul, Math.imul],
  eq: [i32x4.eq, (x, y) => (x === y ? -1 : 0)],
  ne: [i32x4.ne, (x, y) => (x !== y ? -1 : 0)],
  ltS: [i32x4.ltS, (x, y) => (x < y ? -1 : 0)],
  gtS: [i32x4.gtS, (x, y) => (x > y ? -1 : 0)],
  geS: [i32x4.geS, (x, y) => (x >= y ? -1 : 0)],
  ltU: [i32x4.ltU, (x, y) => (x >>> 0 < y >>> 0 ? -1 : 0)],
  gtU: [i32x4.gtU, (x, y) => (x >>> 0 > y >>> 0 ? -1 : 0)],
  minS: [i32x4.minS, minimum],
  maxS: [i32x4.maxS, (x, y) => Math.max(x, y)],
  minU: [i32x4.minU, (x, y) => Math.min(x >>> 0, y >>> 0)],
  maxU: [i32x4.maxU, (x, y) => Math.max(x >>> 0, y >>> 0)],
  and: [v128.and, (x, y) => x & y],
  andnot: [v128.andnot, (x, y) => x & ~y],
  or: [v128.or, (x, y) => x | y],
  xor: [v128.xor, (x, y) => x ^ y],
  not: [(x) => v128.not(x), (x) => ~x],
  shl: [(x) => i32x4.shl(x, 5), (x) => x << 5],
  shrS: [(x) => i32x4.shrS(x, 5), (x) => x >> 5],
  shrU: [(x) => i32x4.shrU(x, 5), (x) => x >>> 5],
};

describe('lanes are what the instruction is named for', () => {
  test.each(Object.entries(floatOps))('f32x4.%s', (_, [op, want]) =>
    fc.assert(
      fc.property(quad(anyF32), quad(anyF32), (x, y) => {
        const expected = x.map((value, i) => Math.fround(want(Math.fround(value), Math.fround(y[i]))));
        expect(f32s(lanesOf(op, x, y))).toEqual(expected);
      }),
      { numRuns: 60 },
    ),
  );
  test.each(Object.entries(comparisons))('f32x4.%s', (_, [op, want]) =>
    fc.assert(
      fc.property(quad(anyF32), quad(anyF32), (x, y) => {
        const expected = x.map((value, i) => (want(Math.fround(value), Math.fround(y[i])) ? -1 : 0));
        expect(i32s(lanesOf(op, x, y))).toEqual(expected);
      }),
      { numRuns: 60 },
    ),
  );
  test.each(Object.entries(wholeOps))('i32x4.%s', (_, [op, want]) =>
    fc.assert(
      fc.property(quad(fc.integer()), quad(fc.integer()), (x, y) => {
        const got = i32s(lanesOf(op, Int32Array.from(x), Int32Array.from(y)));
        expect(got).toEqual(x.map((value, i) => want(value, y[i]) | 0));
      }),
      { numRuns: 40 },
    ),
  );
  test('conversions, halves and lanes', () => {
    const whole = Int32Array.of(3, -2, 2 ** 31 - 1, -(2 ** 31));
    expect(f32s(lanesOf(f32x4.convertI32x4S, whole))).toEqual([3, -2, 2 ** 31, -(2 ** 31)]);
    expect(f32s(lanesOf(f32x4.convertI32x4U, whole))).toEqual([3, 2 ** 32, 2 ** 31, 2 ** 31]);
    expect(i32s(lanesOf(i32x4.truncSatF32x4S, [1.9, -1.9, 1e20, nan]))).toEqual([1, -1, 2 ** 31 - 1, 0]);
    expect(i32s(lanesOf(i32x4.truncSatF32x4U, [1.9, -1.9, 1e20, nan]))).toEqual([1, 0, -1, 0]);
    expect(f64s(lanesOf(f64x2.promoteLowF32x4, [1.5, -0.25, 7, 8]))).toEqual([1.5, -0.25]);
    expect(f32s(lanesOf(f32x4.demoteF64x2Zero, Float64Array.of(1 / 3, -2)))).toEqual([
      Math.fround(1 / 3),
      -2,
      0,
      0,
    ]);
    expect(f64s(lanesOf(f64x2.convertLowI32x4S, whole))).toEqual([3, -2]);
    expect(f64s(lanesOf(f64x2.convertLowI32x4U, whole))).toEqual([3, 2 ** 32 - 2]);
    expect(i32s(lanesOf(i32x4.truncSatF64x2SZero, Float64Array.of(-7.9, 1e300)))).toEqual([
      -7,
      2 ** 31 - 1,
      0,
      0,
    ]);
    const words = Uint32Array.of(0xffffffff, 3, 5, 0x80000000);
    const products = (data: Uint8Array) => [...new BigUint64Array(data.buffer)];
    expect(products(lanesOf((x) => i64x2.extmulLowI32x4U(x, x), words))).toEqual([0xfffffffe00000001n, 9n]);
    expect(products(lanesOf((x) => i64x2.extmulHighI32x4U(x, x), words))).toEqual([25n, 2n ** 62n]);
    const shorts = Uint16Array.of(1, 2, 3, 4, 5, 6, 7, 65_535);
    expect(i32s(lanesOf(i32x4.extendLowI16x8U, shorts))).toEqual([1, 2, 3, 4]);
    expect(i32s(lanesOf(i32x4.extendHighI16x8U, shorts))).toEqual([5, 6, 7, 65_535]);
    const narrow = lanesOf((x) => i16x8.narrowI32x4U(x, x), Int32Array.of(1, -1, 70_000, 65_535));
    expect([...new Uint16Array(narrow.buffer)].slice(0, 4)).toEqual([1, 0, 65_535, 65_535]);
    expect(f32s(lanesOf((x, y) => values.shuffle32(x, y, [0, 7, 2, 5]), [1, 2, 3, 4], [5, 6, 7, 8]))).toEqual(
      [1, 8, 3, 6],
    );
    expect(f32s(lanesOf((x) => f32x4.replaceLane(x, 2, f32x4.extractLane(x, 1)), [1, 2, 3, 4]))).toEqual([
      1, 2, 2, 4,
    ]);
    for (const [lane, want] of [
      [5, 6, 3, 4],
      [1, 2, 5, 6],
    ].entries()) {
      const second = i32.const(operandAt(1));
      const got = lanesOf((x) => v128.load64Lane(second, x, lane), [1, 2, 3, 4], [5, 6, 7, 8]);
      expect(f32s(got)).toEqual(want);
    }
    expect(f32s(lanesOf((x, y) => v128.bitselect(x, y, f32x4.lt(x, y)), [1, 9, 3, 9], [5, 5, 5, 5]))).toEqual(
      [1, 5, 3, 5],
    );
    expect(i32s(lanesOf((x) => i32x4.bitmask(x), Int32Array.of(-1, 1, -5, 0)))[0]).toBe(0b0101);
    expect(i32s(lanesOf((x) => i32x4.allTrue(x), Int32Array.of(-1, 1, -5, 0)))[0]).toBe(0);
    expect(i32s(lanesOf((x) => v128.anyTrue(x), Int32Array.of(0, 0, -5, 0)))[0]).toBe(1);
  });
});

describe('scalars are what the instruction is named for', () => {
  const [int, float] = [
    (i: number) => i32.load(i32.const(operandAt(i))),
    (i: number) => f32.load(i32.const(operandAt(i))),
  ];
  const wholes: Record<string, [(x: I32, y: I32) => I32, (x: number, y: number) => number]> = {
    add: [i32.add, (x, y) => x + y],
    sub: [i32.sub, (x, y) => x - y],
    mul: [i32.mul, Math.imul],
    divU: [i32.divU, (x, y) => Math.floor((x >>> 0) / (y >>> 0))],
    remU: [i32.remU, (x, y) => (x >>> 0) % (y >>> 0)],
    and: [i32.and, (x, y) => x & y],
    or: [i32.or, (x, y) => x | y],
    xor: [i32.xor, (x, y) => x ^ y],
    shl: [i32.shl, (x, y) => x << y],
    shrS: [i32.shrS, (x, y) => x >> y],
    shrU: [i32.shrU, (x, y) => x >>> y],
    eqz: [(x) => i32.eqz(x), (x) => (x === 0 ? 1 : 0)],
    eq: [i32.eq, (x, y) => (x === y ? 1 : 0)],
    ne: [i32.ne, (x, y) => (x !== y ? 1 : 0)],
    ltS: [i32.ltS, (x, y) => (x < y ? 1 : 0)],
    ltU: [i32.ltU, (x, y) => (x >>> 0 < y >>> 0 ? 1 : 0)],
    gtS: [i32.gtS, (x, y) => (x > y ? 1 : 0)],
    gtU: [i32.gtU, (x, y) => (x >>> 0 > y >>> 0 ? 1 : 0)],
    leS: [i32.leS, (x, y) => (x <= y ? 1 : 0)],
    leU: [i32.leU, (x, y) => (x >>> 0 <= y >>> 0 ? 1 : 0)],
    geS: [i32.geS, (x, y) => (x >= y ? 1 : 0)],
    geU: [i32.geU, (x, y) => (x >>> 0 >= y >>> 0 ? 1 : 0)],
    min: [i32.min, minimum],
    select: [(x, y) => i32.select(x, y, i32.gtS(x, 7)), (x, y) => (x > 7 ? x : y)],
  };
  const some = fc.oneof(fc.integer(), fc.integer({ min: -9, max: 9 }));
  test.each(Object.entries(wholes))('i32.%s', (_, [op, want]) =>
    fc.assert(
      fc.property(some, some, (x, y) => {
        fc.pre(y !== 0);
        ints[operandAt(0) / 4] = x;
        ints[operandAt(1) / 4] = y;
        runBody((w) => w.store(w.args, op(int(0), int(1)), resultAt));
        expect(ints[resultAt / 4]).toBe(want(x, y) | 0);
      }),
      { numRuns: 40 },
    ),
  );
  const reals: Record<string, [(x: F32, y: F32) => Value, (x: number, y: number) => number]> = {
    add: [f32.add, (x, y) => x + y],
    sub: [f32.sub, (x, y) => x - y],
    mul: [f32.mul, (x, y) => x * y],
    div: [f32.div, (x, y) => x / y],
    min: [f32.min, minimum],
    max: [f32.max, (x, y) => Math.max(x, y)],
    sqrt: [(x) => f32.sqrt(x), (x) => Math.sqrt(x)],
    abs: [(x) => f32.abs(x), Math.abs],
    neg: [(x) => f32.neg(x), (x) => -x],
    convertI32S: [
      (x) => f32.convertI32S(i32.truncSatF32S(x)),
      (x) => Math.fround(Math.trunc(clamped(x)) | 0),
    ],
    'convertI32U of bits': [
      (x) => f32.convertI32U(i32.reinterpretF32(f32.abs(x))),
      (x) => bitsOf(Math.abs(x)),
    ],
    'reinterpretI32 of bits': [(x) => f32.reinterpretI32(i32.reinterpretF32(x)), (x) => x],
    'f64 and back': [(x, y) => f32.demoteF64(f64.div(f64.promoteF32(x), f64.promoteF32(y))), (x, y) => x / y],
    'f64 sums and products': [
      (x, y) =>
        f32.demoteF64(
          f64.sub(f64.mul(f64.promoteF32(x), f64.const(3)), f64.add(f64.promoteF32(y), f64.const(0.1))),
        ),
      (x, y) => x * 3 - (y + 0.1),
    ],
  };
  const clamped = (x: number) => (Number.isNaN(x) ? 0 : Math.min(2 ** 31 - 1, Math.max(-(2 ** 31), x)));
  const bitsOf = (x: number) => new Uint32Array(Float32Array.of(x).buffer)[0];
  test.each(Object.entries(reals))('f32.%s', (_, [op, want]) =>
    fc.assert(
      fc.property(anyF32, anyF32, (x, y) => {
        floats[operandAt(0) / 4] = x;
        floats[operandAt(1) / 4] = y;
        runBody((w) => w.store(w.args, op(float(0), float(1)), resultAt));
        expect(floats[resultAt / 4]).toEqual(Math.fround(want(Math.fround(x), Math.fround(y))));
      }),
      { numRuns: 60 },
    ),
  );
  const conditions: [string, (x: F32, y: F32) => I32, (x: number, y: number) => boolean][] = [
    ['eq', f32.eq, (x, y) => x === y],
    ['lt', f32.lt, (x, y) => x < y],
    ['gt', f32.gt, (x, y) => x > y],
  ];
  test.each(conditions)('f32.%s', (_, op, want) =>
    fc.assert(
      fc.property(anyF32, anyF32, (x, y) => {
        floats[operandAt(0) / 4] = x;
        floats[operandAt(1) / 4] = y;
        runBody((w) => w.store(w.args, op(float(0), float(1)), resultAt));
        expect(ints[resultAt / 4]).toBe(want(Math.fround(x), Math.fround(y)) ? 1 : 0);
      }),
    ),
  );
});

describe('pairs of f64 are what the instruction is named for', () => {
  const all: Record<string, [(x: V128, y: V128) => V128, (x: number, y: number) => number]> = {
    add: [f64x2.add, (x, y) => x + y],
    sub: [f64x2.sub, (x, y) => x - y],
    mul: [f64x2.mul, (x, y) => x * y],
    div: [f64x2.div, (x, y) => x / y],
    min: [f64x2.min, minimum],
    max: [f64x2.max, (x, y) => Math.max(x, y)],
    abs: [(x) => f64x2.abs(x), Math.abs],
    neg: [(x) => f64x2.neg(x), (x) => -x],
    sqrt: [(x) => f64x2.sqrt(x), (x) => Math.sqrt(x)],
    eq: [(x, y) => v128.and(f64x2.eq(x, y), f64x2.const(1)), (x, y) => (x === y ? 1 : 0)],
    ne: [(x, y) => v128.and(f64x2.ne(x, y), f64x2.const(1)), (x, y) => (x !== y ? 1 : 0)],
    lt: [(x, y) => v128.and(f64x2.lt(x, y), f64x2.const(1)), (x, y) => (x < y ? 1 : 0)],
    gt: [(x, y) => v128.and(f64x2.gt(x, y), f64x2.const(1)), (x, y) => (x > y ? 1 : 0)],
    nearest: [
      (x) => f64x2.nearest(x),
      (x) => (Math.abs(x) < 2 ** 31 ? x + 1.5 * 2 ** 52 - 1.5 * 2 ** 52 || x * 0 : x),
    ],
  };
  const pair = fc.array(fc.oneof(fc.double(), fc.constantFrom(...special)), { minLength: 2, maxLength: 2 });
  test.each(Object.entries(all))('f64x2.%s', (_, [op, want]) =>
    fc.assert(
      fc.property(pair, pair, (x, y) => {
        fc.pre(op !== all.nearest[0] || x.every((value) => Math.abs(value) < 2 ** 31));
        const got = f64s(lanesOf(op, Float64Array.from(x), Float64Array.from(y)));
        expect(got).toEqual(x.map((value, i) => want(value, y[i])));
      }),
      { numRuns: 60 },
    ),
  );
});

describe('statements', () => {
  test('range counts by steps, over signed numbers, and not at all where there is nothing', () =>
    fc.assert(
      fc.property(
        fc.integer({ min: -9, max: 9 }),
        fc.integer({ min: -9, max: 40 }),
        fc.integer({ min: 1, max: 5 }),
        (from, to, step) => {
          ints.fill(0, 64, 128);
          runBody(
            (w) => {
              const sum = w.local('i32');
              const turns = w.local('i32');
              w.range(w.from, w.to, step, (i) => {
                w.set(sum, i32.add(sum, i));
                w.set(turns, i32.add(turns, 1));
              });
              w.store(w.args, sum, resultAt);
              w.store(w.args, turns, resultAt + 4);
            },
            [from, to],
          );
          const all: number[] = [];
          for (let i = from; i < to; i += step) all.push(i);
          expect([ints[64], ints[65]]).toEqual([all.reduce((a, b) => a + b, 0), all.length]);
        },
      ),
    ));

  test('if, else and while, one in the other', () => {
    // Steps that Collatz's sequence takes from n to 1.
    const steps = (n: number) => {
      runBody(
        (w) => {
          const x = w.let(w.from);
          const count = w.local('i32');
          w.while(i32.ne(x, 1), () => {
            w.if(
              i32.and(x, 1),
              () => w.set(x, i32.add(i32.mul(x, 3), 1)),
              () => w.set(x, i32.shrU(x, 1)),
            );
            w.set(count, i32.add(count, 1));
          });
          w.store(w.args, count, resultAt);
        },
        [n, 0],
      );
      return ints[resultAt / 4];
    };
    expect([1, 2, 7, 27].map(steps)).toEqual([0, 1, 16, 111]);
  });

  test('fours reads every element once and writes no other', () =>
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 19 }), (n) => {
        floats.fill(-7, 1000, 1100);
        for (let i = 0; i < n; i++) floats[1000 + i] = i + 1;
        runBody(
          (w) => {
            const sums = w.local('v128');
            const row = w.let(i32.add(w.args, 4000));
            fours(w, w.to as I32, (j, four) => {
              const x = w.let(v128.load(element(row, j)));
              w.set(sums, f32x4.add(sums, four.only(x, f32x4.const(0))));
              four.store(element(row, j), f32x4.mul(x, f32x4.const(2)));
            });
            w.store(w.args, sums, resultAt);
          },
          [0, n],
        );
        const sum = floats.slice(64, 68).reduce((a, b) => a + b, 0);
        expect(sum).toBe((n * (n + 1)) / 2);
        expect([...floats.slice(1000, 1000 + n)]).toEqual(Array.from({ length: n }, (_, i) => 2 * i + 2));
        expect(floats.slice(1000 + n, 1100).every((x) => x === -7)).toBe(true);
      }),
    ));
});

describe('numbers in LEB128', () => {
  const read = (list: readonly number[]) =>
    list.reduceRight((high, byte) => high * 128n + BigInt(byte & 127), 0n);
  test('unsigned ones are read back', () =>
    fc.assert(fc.property(fc.nat({ max: 2 ** 32 - 1 }), (n) => Number(read(unsigned(n))) === n)));
  test('signed ones are read back by the engine', () =>
    fc.assert(
      fc.property(fc.integer(), (n) => {
        runBody((w) => w.store(w.args, i32.const(n), resultAt));
        return ints[resultAt / 4] === n && signed(n).length <= 5;
      }),
      { numRuns: 50 },
    ));
});
