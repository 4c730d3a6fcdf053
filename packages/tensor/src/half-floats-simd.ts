import { Instance, Memory, Module, type Run, validate } from './wasm/engine.ts';
import {
  f32x4,
  halved,
  type I32,
  i16x8,
  i32,
  i32x4,
  KernelBody,
  loadF16,
  type V128,
  v128,
} from './wasm/index.ts';

// The conversions of half-floats.ts eight elements at a time, for the billions of weights of a checkpoint.

/** Elements converted at a time: they stay in the processor's cache on their way in and out. */
const most = 2 ** 15;
/** Where a table of 65,536 patterns lies, what is converted, and the result. */
const tableAt = 0;
const inAt = 2 ** 17;
const outAt = inAt + 4 * most;

/** Writes the code that converts the eight elements from the i-th on. */
type Body = (w: KernelBody, i: I32) => void;
const at = (start: number, i: I32, shift: number): I32 => i32.add(start, i32.shl(i, shift));

/** From two bytes an element to four. */
const widening =
  (four: (address: I32) => V128): Body =>
  (w, i) => {
    const [from, to] = [w.let(at(inAt, i, 1)), w.let(at(outAt, i, 2))];
    w.store(to, four(from));
    w.store(to, four(i32.add(from, 8)), 16);
  };

const singleToHalf: Body = (w, i) => {
  const from = w.let(at(inAt, i, 2));
  const [low, high] = [0, 16].map((offset) => {
    const x = w.let(v128.load(from, offset));
    const payload = v128.and(i32x4.shrU(x, 13), i32x4.const(0x3ff));
    return w.let(v128.or(halved(w, x), v128.and(payload, f32x4.ne(x, x))));
  });
  w.store(at(outAt, i, 1), i16x8.narrowI32x4U(low, high));
};

/**
 * A bf16 whose number is normal in f16 is exact there: another bias, and three more places for the fraction,
 * two elements in each lane of 32 bits. Where one of the eight is not such a number they are looked up.
 */
const bfloatToHalf: Body = (w, i) => {
  const [from, to] = [w.let(at(inAt, i, 1)), w.let(at(outAt, i, 1))];
  const both = (bits: number) => i32x4.const(bits * 0x10001);
  const signs = both(0x8000);
  const x = w.let(v128.load(from));
  const magnitude = w.let(v128.and(x, both(0x7fff)));
  // The sign bits stay where a magnitude is 2⁻¹⁴ or more, and where it is less than 2¹⁶.
  const isLarge = i32x4.sub(v128.or(magnitude, signs), both(0x3880));
  const isSmall = i32x4.sub(both(0xc77f), magnitude);
  const isOther = v128.andnot(signs, v128.and(isLarge, isSmall));
  const moved = i32x4.shl(i32x4.sub(magnitude, both(0x3800)), 3);
  const lookUp = () => {
    for (let j = 0; j < 16; j += 2) {
      w.store16(to, i32.load16U(i32.shl(i32.load16U(from, j), 1), tableAt), j);
    }
  };
  w.if(v128.anyTrue(isOther), lookUp, () => w.store(to, v128.or(v128.and(x, signs), moved)));
};

const bodies = {
  'bf16 f16': bfloatToHalf,
  'bf16 f32': widening((address) => i32x4.shl(v128.load16x4U(address), 16)),
  'f16 f32': widening((address) => loadF16(address)),
  'f32 f16': singleToHalf,
} satisfies Record<string, Body>;
export type Conversion = keyof typeof bodies;

interface Converter {
  readonly memory: ArrayBuffer;
  readonly run: Record<Conversion, Run>;
}
let converter: Converter | null | undefined;

function compile(bfloatTable: Uint16Array): Converter | null {
  const modules = Object.entries(bodies).map(([name, body]): [string, Uint8Array<ArrayBuffer>] => {
    const w = new KernelBody();
    w.range(w.from, w.to, 8, (i) => body(w, i));
    return [name, w.module(false)];
  });
  if (!modules.every(([, bytes]) => validate(bytes))) return null;
  const memory = new Memory({ initial: (outAt + 4 * most) / 2 ** 16, maximum: 2 ** 16, shared: false });
  new Uint16Array(memory.buffer, tableAt, bfloatTable.length).set(bfloatTable);
  const run = modules.map(([name, bytes]) => [
    name,
    new Instance(new Module(bytes), { kernel: { memory } }).exports.run,
  ]);
  return { memory: memory.buffer, run: Object.fromEntries(run) };
}

type Elements = Uint16Array | Uint32Array;

/**
 * Converts bits of one type into those of another, `to` being as long as `from`; false where this JavaScript
 * has no SIMD, and nothing is written. `bfloatTable` are the f16 of all bf16.
 */
export function convertBits(
  conversion: Conversion,
  from: Elements,
  to: Elements,
  bfloatTable: () => Uint16Array,
): boolean {
  if (converter === undefined) converter = compile(bfloatTable());
  if (converter === null) return false;
  const { memory, run } = converter;
  const view = (like: Elements, start: number): Elements =>
    like instanceof Uint16Array ? new Uint16Array(memory, start, most) : new Uint32Array(memory, start, most);
  const [source, result] = [view(from, inAt), view(to, outAt)];
  for (let done = 0; done < from.length; done += most) {
    const part = from.subarray(done, done + most);
    source.set(part);
    run[conversion](0, part.length, 0, 0);
    to.set(result.subarray(0, part.length), done);
  }
  return true;
}
