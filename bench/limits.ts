// What the machine can do at most in WebAssembly, on all threads: cases to measure in the run of the others.
import { availableParallelism } from 'node:os';
import { openWasm, scope, tensor } from '@flex/tensor';
import { apply, type KernelOp } from '@flex/tensor/kernel';
import {
  f32x4,
  i32,
  type KernelBody,
  type Local,
  type V128,
  v128,
  type WasmKernel,
  wasmKernel,
} from '@flex/tensor/wasm';
import type { Case, Options, Work } from './harness.ts';

/** The limits of products have names that begin so, … */
export const multiplyAdd = 'limit: multiply-add';
/** … and those of what goes through tensors of so many bytes so. */
export const copyOf = (bytes: number) => `limit: copy ${bytes <= 2 ** 20 ? '256 KiB' : '16 MiB'}`;

type Address = Local<'i32'>;
/** Does its work `times` with a row of x and of out, which have `bytes` each. */
type RowBody = (w: KernelBody, x: Address, out: Address, bytes: Address, times: Address) => void;

const onlyWasm = (): never => {
  throw new Error('a limit is a kernel of WebAssembly alone');
};

/** x f32 [rows, n] → f32 [rows, n], the rows being shared among the threads. */
const limitOp = (name: string, body: RowBody): KernelOp<{ readonly times: number }> => ({
  kind: 'kernel',
  name,
  infer: ([x]) => x,
  wgsl: onlyWasm,
  host: onlyWasm,
  vjp: null,
  samples: [],
  wasm: ([x], [out], { times }) =>
    wasmKernel({
      name,
      in: { x },
      out: { out },
      params: { bytes: 4 * x.shape[1], times },
      items: x.shape[0],
      cost: 1e6,
      body(w, { x, out, bytes, times }) {
        w.range(w.from, w.to, 1, (row) => {
          const offset = w.let(i32.mul(row, bytes));
          body(w, w.let(i32.add(x, offset)), w.let(i32.add(out, offset)), bytes, times);
        });
      },
    }),
});

/** Values under way at once: enough to wait for none, and with x and y no more than 16 registers hold. */
const lanes = 12;
type Step = (value: V128, x: V128, y: V128, i: number) => V128;
const turns = (name: string, step: Step) =>
  limitOp(name, (w, x, out, _, times) => {
    const [a, b] = [w.let(v128.load(x)), w.let(v128.load(x, 16))];
    const values = Array.from({ length: lanes }, () => w.let(v128.load(x)));
    w.range(0, times, 1, () => {
      for (const [i, value] of values.entries()) w.set(value, step(value, a, b, i));
    });
    for (const value of values) w.store(out, f32x4.add(value, v128.load(out)));
  });

const copies = {
  'memory.copy': limitOp('copyBytes', (w, x, out, bytes, times) => {
    w.range(0, times, 1, () => w.copy(out, x, bytes));
  }),
  'v128 loop': limitOp('copyFours', (w, x, out, bytes, times) => {
    w.range(0, times, 1, () => {
      w.range(0, bytes, 64, (i) => {
        const [from, to] = [w.let(i32.add(x, i)), w.let(i32.add(out, i))];
        for (const offset of [0, 16, 32, 48]) w.store(to, v128.load(from, offset), offset);
      });
    });
  }),
};

const { WebAssembly } = globalThis as unknown as { WebAssembly: { validate(bytes: Uint8Array): boolean } };

/** Multiplying and adding in registers, and copying what fits in a core's cache and what does not. */
export function limitsOf({ threads }: Options): Case[] {
  const count = Number(threads || availableParallelism());
  const backend = openWasm({ threads: count });
  const rows = 4 * count;
  const limit = (
    name: string,
    op: KernelOp<{ readonly times: number }>,
    n: number,
    times: number,
    work: Work,
  ) => {
    const x = tensor(backend, new Float32Array(rows * n).fill(1), [rows, n]);
    const run = async (runs: number) => {
      for (let i = 0; i < runs; i++) scope(() => void apply(op, [x], { times }));
    };
    return { name, facts: { threads: count }, run, work: () => work };
  };
  const product = (name: string, flops: number, step: Step): Case[] => {
    const op = turns(name, step);
    const spec = { shape: [rows, 8], dtype: 'f32' } as const;
    const made = op.wasm!([spec], [spec], { times: 1 }, [-1]) as WasmKernel;
    if (!WebAssembly.validate(made.module())) return [];
    const times = 100_000;
    const gflops = (rows * times * lanes * flops) / 1e9;
    return [limit(`${multiplyAdd}, ${name}`, op, 8, times, { gflops })];
  };
  return [
    ...product('f32x4.mul and f32x4.add', 4, (value, x, y, i) =>
      i % 2 === 0 ? f32x4.mul(value, x) : f32x4.add(value, y),
    ),
    ...product('f32x4.relaxed_madd', 8, (value, x, y) => f32x4.relaxedMadd(value, x, y)),
    ...[2 ** 18, 2 ** 24].flatMap((bytes) =>
      Object.entries(copies).map(([name, op]) => {
        const times = 2 ** 24 / bytes;
        const gigabytes_per_second = (2 * bytes * times) / 1e9;
        const n = bytes / 4 / rows;
        return limit(`${copyOf(bytes)}, ${name}`, op, n, times, { gigabytes_per_second });
      }),
    ),
  ];
}
