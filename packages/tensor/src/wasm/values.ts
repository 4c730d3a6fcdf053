// Instructions of WebAssembly as functions of values, by the names of its text format: `f32x4.add(x, y)` is
// `(f32x4.add x y)`. WebAssembly Core Specification 2.0, chapter 5.4; relaxed SIMD, chapter 5.4 of 3.0.
import { type Code, f32Bytes, f64Bytes, signed, unsigned, type WasmType } from './encode.ts';

/**
 * What the instructions leave on the stack. It is computed anew wherever it is used: `Body.let` computes it once and
 * gives it a name.
 */
export class Value<T extends WasmType = WasmType> {
  readonly type: T;
  readonly code: Code;

  constructor(type: T, code: Code) {
    this.type = type;
    this.code = code;
  }
}

export type I32 = Value<'i32'>;
export type F32 = Value<'f32'>;
export type F64 = Value<'f64'>;
export type V128 = Value<'v128'>;
/** An i32, or a number that is known when the kernel is written. */
export type Index = I32 | number;

const codeOf = (value: Value | number): Code =>
  typeof value === 'number' ? [0x41, signed(value)] : value.code;

const simd = (opcode: number): Code => [0xfd, unsigned(opcode)];
const op =
  <T extends WasmType, A extends readonly (Value | number)[]>(type: T, opcode: Code) =>
  (...args: A): Value<T> =>
    new Value(type, [args.map(codeOf), opcode]);

type Unary<T extends WasmType, A extends WasmType = T> = [Value<A>];
type Binary<A extends WasmType> = [Value<A>, Value<A>];

const i32Of2 = (opcode: number) => op<'i32', [Index, Index]>('i32', opcode);
const f32Of2 = (opcode: number) => op<'f32', Binary<'f32'>>('f32', opcode);
const f64Of2 = (opcode: number) => op<'f64', Binary<'f64'>>('f64', opcode);
const lanes1 = (opcode: number) => op<'v128', Unary<'v128'>>('v128', simd(opcode));
const lanes2 = (opcode: number) => op<'v128', Binary<'v128'>>('v128', simd(opcode));
const lanes3 = (opcode: number) => op<'v128', [V128, V128, V128]>('v128', simd(opcode));
const shift = (opcode: number) => op<'v128', [V128, Index]>('v128', simd(opcode));

/** An instruction that reads memory at address + offset, in bytes; `align` is the power of two of its width. */
const loads =
  <T extends WasmType>(type: T, opcode: Code, align: number) =>
  (address: Index, offset = 0): Value<T> =>
    new Value(type, [codeOf(address), opcode, align, unsigned(offset)]);

export const i32 = {
  const: (value: number): I32 => new Value('i32', [0x41, signed(value)]),
  load: loads('i32', 0x28, 2),
  load8U: loads('i32', 0x2d, 0),
  load16U: loads('i32', 0x2f, 1),
  add: (x: Index, y: Index): I32 => (y === 0 && typeof x !== 'number' ? x : i32Of2(0x6a)(x, y)),
  sub: i32Of2(0x6b),
  mul: i32Of2(0x6c),
  divU: i32Of2(0x6e),
  remU: i32Of2(0x70),
  and: i32Of2(0x71),
  or: i32Of2(0x72),
  xor: i32Of2(0x73),
  shl: i32Of2(0x74),
  shrS: i32Of2(0x75),
  shrU: i32Of2(0x76),
  eqz: op<'i32', [I32]>('i32', 0x45),
  eq: i32Of2(0x46),
  ne: i32Of2(0x47),
  ltS: i32Of2(0x48),
  ltU: i32Of2(0x49),
  gtS: i32Of2(0x4a),
  gtU: i32Of2(0x4b),
  leS: i32Of2(0x4c),
  leU: i32Of2(0x4d),
  geS: i32Of2(0x4e),
  geU: i32Of2(0x4f),
  truncSatF32S: op<'i32', [F32]>('i32', [0xfc, 0]),
  reinterpretF32: op<'i32', [F32]>('i32', 0xbc),
  /** x where the condition is not 0, else y. */
  select: (x: Index, y: Index, condition: Index): I32 =>
    new Value('i32', [codeOf(x), codeOf(y), codeOf(condition), 0x1b]),
  min: (x: I32, y: I32): I32 => i32.select(x, y, i32.ltS(x, y)),
};

export const f32 = {
  const: (value: number): F32 => new Value('f32', [0x43, f32Bytes(value)]),
  load: loads('f32', 0x2a, 2),
  add: f32Of2(0x92),
  sub: f32Of2(0x93),
  mul: f32Of2(0x94),
  div: f32Of2(0x95),
  min: f32Of2(0x96),
  max: f32Of2(0x97),
  sqrt: op<'f32', [F32]>('f32', 0x91),
  abs: op<'f32', [F32]>('f32', 0x8b),
  neg: op<'f32', [F32]>('f32', 0x8c),
  eq: op<'i32', Binary<'f32'>>('i32', 0x5b),
  lt: op<'i32', Binary<'f32'>>('i32', 0x5d),
  gt: op<'i32', Binary<'f32'>>('i32', 0x5e),
  convertI32S: op<'f32', [Index]>('f32', 0xb2),
  convertI32U: op<'f32', [Index]>('f32', 0xb3),
  reinterpretI32: op<'f32', [Index]>('f32', 0xbe),
  demoteF64: op<'f32', [F64]>('f32', 0xb6),
};

export const f64 = {
  const: (value: number): F64 => new Value('f64', [0x44, f64Bytes(value)]),
  add: f64Of2(0xa0),
  sub: f64Of2(0xa1),
  mul: f64Of2(0xa2),
  div: f64Of2(0xa3),
  promoteF32: op<'f64', [F32]>('f64', 0xbb),
};

export const v128 = {
  /** Sixteen bytes. */
  const: (bytes: readonly number[]): V128 => new Value('v128', [simd(12), [...bytes]]),
  load: loads('v128', simd(0), 4),
  load8Splat: loads('v128', simd(7), 0),
  load16Splat: loads('v128', simd(8), 1),
  load32Splat: loads('v128', simd(9), 2),
  load64Splat: loads('v128', simd(10), 3),
  load32Zero: loads('v128', simd(92), 2),
  load64Zero: loads('v128', simd(93), 3),
  load16x4S: loads('v128', simd(3), 3),
  load16x4U: loads('v128', simd(4), 3),
  /** x with one lane of eight bytes from memory. */
  load64Lane: (address: I32, x: V128, lane: number): V128 =>
    new Value('v128', [address.code, x.code, simd(87), 3, 0, lane]),
  not: lanes1(77),
  and: lanes2(78),
  /** x and not y. */
  andnot: lanes2(79),
  or: lanes2(80),
  xor: lanes2(81),
  /** Bits of x where the mask's are 1, else of y. */
  bitselect: lanes3(82),
  anyTrue: op<'i32', [V128]>('i32', simd(83)),
};

/** Bytes of two vectors, x's being 0 … 15 and y's 16 … 31, in the order given. */
export const shuffle = (x: V128, y: V128, bytes: readonly number[]): V128 =>
  new Value('v128', [x.code, y.code, simd(13), [...bytes]]);

/** The same by lanes of four bytes: x's are 0 … 3, y's 4 … 7. */
export const shuffle32 = (x: V128, y: V128, lanes: readonly number[]): V128 =>
  shuffle(
    x,
    y,
    lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)),
  );

const lane =
  <T extends WasmType>(type: T, opcode: number) =>
  (x: V128, i: number): Value<T> =>
    new Value(type, [x.code, simd(opcode), i]);

export const f32x4 = {
  const: (...values: readonly number[]): V128 =>
    v128.const((values.length === 1 ? [0, 0, 0, 0].fill(values[0]) : values).flatMap(f32Bytes)),
  splat: op<'v128', [F32]>('v128', simd(19)),
  extractLane: lane('f32', 31),
  replaceLane: (x: V128, i: number, y: F32): V128 => new Value('v128', [x.code, y.code, simd(32), i]),
  eq: lanes2(65),
  ne: lanes2(66),
  lt: lanes2(67),
  gt: lanes2(68),
  le: lanes2(69),
  ge: lanes2(70),
  ceil: lanes1(103),
  floor: lanes1(104),
  trunc: lanes1(105),
  nearest: lanes1(106),
  abs: lanes1(224),
  neg: lanes1(225),
  sqrt: lanes1(227),
  add: lanes2(228),
  sub: lanes2(229),
  mul: lanes2(230),
  div: lanes2(231),
  /** NaN where either is, −0 below 0. */
  min: lanes2(232),
  max: lanes2(233),
  /** y < x ? y : x, one instruction on every processor. */
  pmin: lanes2(234),
  pmax: lanes2(235),
  convertI32x4S: lanes1(250),
  convertI32x4U: lanes1(251),
  demoteF64x2Zero: lanes1(94),
  /** x·y + z, rounded once or twice as the processor likes: relaxed SIMD. */
  relaxedMadd: lanes3(0x105),
};

export const f64x2 = {
  const: (...values: readonly number[]): V128 =>
    v128.const((values.length === 1 ? [0, 0].fill(values[0]) : values).flatMap(f64Bytes)),
  splat: op<'v128', [F64]>('v128', simd(20)),
  extractLane: lane('f64', 33),
  eq: lanes2(71),
  ne: lanes2(72),
  lt: lanes2(73),
  gt: lanes2(74),
  nearest: lanes1(148),
  abs: lanes1(236),
  neg: lanes1(237),
  sqrt: lanes1(239),
  add: lanes2(240),
  sub: lanes2(241),
  mul: lanes2(242),
  div: lanes2(243),
  min: lanes2(244),
  max: lanes2(245),
  promoteLowF32x4: lanes1(95),
  convertLowI32x4S: lanes1(254),
  convertLowI32x4U: lanes1(255),
};

export const i32x4 = {
  const: (...values: readonly number[]): V128 =>
    v128.const([
      ...new Uint8Array(Int32Array.from(values.length === 1 ? [0, 0, 0, 0].fill(values[0]) : values).buffer),
    ]),
  splat: op<'v128', [Index]>('v128', simd(17)),
  extractLane: lane('i32', 27),
  eq: lanes2(55),
  ne: lanes2(56),
  ltS: lanes2(57),
  ltU: lanes2(58),
  gtS: lanes2(59),
  gtU: lanes2(60),
  geS: lanes2(63),
  allTrue: op<'i32', [V128]>('i32', simd(163)),
  bitmask: op<'i32', [V128]>('i32', simd(164)),
  extendLowI16x8S: lanes1(167),
  extendLowI16x8U: lanes1(169),
  extendHighI16x8U: lanes1(170),
  shl: shift(171),
  shrS: shift(172),
  shrU: shift(173),
  add: lanes2(174),
  sub: lanes2(177),
  mul: lanes2(181),
  minS: lanes2(182),
  minU: lanes2(183),
  maxS: lanes2(184),
  maxU: lanes2(185),
  truncSatF32x4S: lanes1(248),
  truncSatF32x4U: lanes1(249),
  truncSatF64x2SZero: lanes1(252),
};

export const i64x2 = {
  splatConst: (value: bigint): V128 => v128.const([...new Uint8Array(BigInt64Array.of(value, value).buffer)]),
  shl: shift(203),
  shrU: shift(205),
  add: lanes2(206),
  sub: lanes2(209),
  extmulLowI32x4U: lanes2(222),
  extmulHighI32x4U: lanes2(223),
};

export const i8x16 = {
  /** The bytes of x at the places that y's bytes say, 0 for those from 16 on. */
  swizzle: lanes2(14),
};

export const i16x8 = {
  extendLowI8x16S: lanes1(135),
  /** Eight i16 from the lanes of x, then y, as unsigned ones that do not fit become 65,535. */
  narrowI32x4U: lanes2(134),
};
