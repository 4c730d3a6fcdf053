// WebAssembly's binary format, as far as kernels need it: a module of one function over an imported shared
// memory. WebAssembly Core Specification 2.0, chapter 5.

/** Bytes, nested so that putting code together copies nothing. */
export type Code = number | readonly Code[];

export type WasmType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

const typeBytes: Record<WasmType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

/** The most 64 KiB pages that a memory may have: 4 GiB. */
export const maxPages = 65_536;

/** An unsigned number in LEB128. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}

/** A signed 32-bit number in LEB128. */
export function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value | 0; ; rest >>= 7) {
    const low = rest & 127;
    const sign = low & 64;
    if ((rest >> 7 === 0 && !sign) || (rest >> 7 === -1 && sign)) return [...bytes, low];
    bytes.push(low | 128);
  }
}

export const f32Bytes = (value: number): number[] => [...new Uint8Array(Float32Array.of(value).buffer)];
export const f64Bytes = (value: number): number[] => [...new Uint8Array(Float64Array.of(value).buffer)];

function flatten(code: Code, into: number[] = []): number[] {
  if (typeof code === 'number') into.push(code);
  else for (const part of code) flatten(part, into);
  return into;
}

/** A vector of the format: how many, then they. */
const vector = (items: readonly Code[]): Code => [unsigned(items.length), items];
const sized = (code: Code): Code => {
  const bytes = flatten(code);
  return [unsigned(bytes.length), bytes];
};
const section = (id: number, items: readonly Code[]): Code => [id, sized(vector(items))];
const text = (name: string): Code => vector([...name].map((c) => c.charCodeAt(0)));

/**
 * A module that imports the memory `kernel.memory`, which threads share unless said otherwise, and exports the
 * function `run` of the parameters, which returns nothing; `locals` are numbered after the parameters.
 */
export function moduleBytes(
  params: readonly WasmType[],
  locals: readonly WasmType[],
  code: Code,
  isShared = true,
): Uint8Array<ArrayBuffer> {
  const types = (list: readonly WasmType[]) => list.map((type) => typeBytes[type]);
  const limits = isShared ? 0x03 : 0x01;
  const module: Code = [
    [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, [[0x60, vector(types(params)), 0]]),
    section(2, [[text('kernel'), text('memory'), 0x02, limits, unsigned(1), unsigned(maxPages)]]),
    section(3, [0]),
    section(7, [[text('run'), 0x00, 0]]),
    section(10, [sized([vector(types(locals).map((type) => [1, type])), code, 0x0b])]),
  ];
  return Uint8Array.from(flatten(module));
}
