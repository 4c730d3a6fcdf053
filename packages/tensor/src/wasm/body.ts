import { type Code, moduleBytes, unsigned, type WasmType } from './encode.ts';
import { type I32, type Index, i32, type V128, Value } from './values.ts';

/** A variable of a function. As a value it is what it holds where it is used. */
export class Local<T extends WasmType = WasmType> extends Value<T> {
  readonly index: number;

  constructor(type: T, index: number) {
    super(type, [0x20, unsigned(index)]);
    this.index = index;
  }
}

const stores: Record<WasmType, Code> = {
  i32: [0x36, 2],
  i64: [0x37, 3],
  f32: [0x38, 2],
  f64: [0x39, 3],
  v128: [0xfd, 11, 4],
};

/**
 * The statements of a function, written in order: `w.range(0, n, 4, (i) => w.store(…))`. What JavaScript does while
 * it writes them (a loop, a condition on a number) is unrolled and decided for good.
 */
export class Body {
  readonly #params: readonly WasmType[];
  readonly #locals: WasmType[] = [];
  #code: Code[] = [];

  constructor(params: readonly WasmType[]) {
    this.#params = params;
  }

  param<T extends WasmType>(index: number, type: T): Local<T> {
    if (this.#params[index] !== type) throw new Error(`parameter ${index} is no ${type}`);
    return new Local(type, index);
  }

  /** A variable, 0 until it is set. */
  local<T extends WasmType>(type: T): Local<T> {
    this.#locals.push(type);
    return new Local(type, this.#params.length + this.#locals.length - 1);
  }

  /** Computes a value here, once, and names it. */
  let<T extends WasmType>(value: Value<T>): Local<T> {
    const local = this.local(value.type);
    this.set(local, value);
    return local;
  }

  set<T extends WasmType>(local: Local<T>, value: Value<T>): void {
    this.#code.push([value.code, 0x21, unsigned(local.index)]);
  }

  /** Writes a value to memory at address + offset, in bytes. */
  store(address: I32, value: Value, offset = 0): void {
    this.#code.push([address.code, value.code, stores[value.type], unsigned(offset)]);
  }

  /** Writes the low 16 bits. */
  store16(address: I32, value: I32, offset = 0): void {
    this.#code.push([address.code, value.code, 0x3b, 1, unsigned(offset)]);
  }

  /** Writes one lane of four bytes. */
  storeLane32(address: I32, value: V128, lane: number, offset = 0): void {
    this.#code.push([address.code, value.code, 0xfd, 90, 2, unsigned(offset), lane]);
  }

  /** Writes one lane of eight bytes. */
  storeLane64(address: I32, value: V128, lane: number, offset = 0): void {
    this.#code.push([address.code, value.code, 0xfd, 91, 3, unsigned(offset), lane]);
  }

  /** Copies bytes; the two places may overlap. */
  copy(to: I32, from: I32, bytes: I32): void {
    this.#code.push([to.code, from.code, bytes.code, 0xfc, 10, 0, 0]);
  }

  /** Sets bytes to 0. */
  zero(to: I32, bytes: I32): void {
    this.#code.push([to.code, 0x41, 0, bytes.code, 0xfc, 11, 0]);
  }

  if(condition: I32, then: () => void, otherwise?: () => void): void {
    const yes = this.#inner(then);
    const no = otherwise && this.#inner(otherwise);
    this.#code.push([condition.code, 0x04, 0x40, yes, no ? [0x05, no] : [], 0x0b]);
  }

  /** Repeats while the condition, computed anew each time, is not 0. */
  while(condition: I32, statements: () => void): void {
    const code = this.#inner(statements);
    this.#code.push([0x02, 0x40, 0x03, 0x40, condition.code, 0x45, 0x0d, 1, code, 0x0c, 0, 0x0b, 0x0b]);
  }

  /** For i = from, from + step, … while i < to, as signed numbers. */
  range(from: Index, to: Index, step: Index, statements: (i: Local<'i32'>) => void): void {
    const i = this.let(i32.add(from, 0 as Index) as I32);
    const more = i32.ltS(i, to);
    const code = this.#inner(() => {
      statements(i);
      this.set(i, i32.add(i, step));
    });
    // The test stands at the end, where a loop costs one branch a turn.
    this.#code.push([more.code, 0x04, 0x40, 0x03, 0x40, code, more.code, 0x0d, 0, 0x0b, 0x0b]);
  }

  #inner(statements: () => void): Code {
    const outer = this.#code;
    this.#code = [];
    statements();
    const inner = this.#code;
    this.#code = outer;
    return inner;
  }

  /** The module of the function, exported as `run`; its memory is one that threads share, or not. */
  module(isShared = true): Uint8Array<ArrayBuffer> {
    return moduleBytes(this.#params, this.#locals, this.#code, isShared);
  }
}
