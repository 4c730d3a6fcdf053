// Times matmul through the public API. Usage: tsx gemm.ts [--device webgpu|gpujs] [--only text] [--save]
// FLEX_PEER_PYTHON names a Python that has PyTorch: it is then timed at the same shapes, in the same run.
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type Backend, type DType, matmul, openGpuJs, openWebGpu, scope, size, type Tensor, tensor } from '@flex/tensor';
import { openPeer, type Peer } from './peer.ts';

interface Product {
  readonly name: string;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly types: readonly DType[];
}

interface Row {
  readonly device: string;
  readonly shape: string;
  readonly variant: string;
  readonly medianMs: number;
  readonly bestMs: number;
  readonly gflops: number;
  readonly peerGflops: number | null;
}

const both: readonly DType[] = ['f32', 'f16'];
const f32: readonly DType[] = ['f32'];
type Layout = 'NT' | 'NN' | 'TN';

/** [batch, m, n, k]; the types are those of b. */
const product = (name: string, layout: Layout, [batch, m, n, k]: readonly number[], types = both): Product => {
  const lead = batch > 1 ? [batch] : [];
  const [transposeA, transposeB] = [layout === 'TN', layout === 'NT'];
  const a = [...lead, ...(transposeA ? [k, m] : [m, k])];
  const b = [...lead, ...(transposeB ? [n, k] : [k, n])];
  return { name: `${name} ${layout}`, a, b, transposeA, transposeB, types };
};

const projections = [
  [128, 128],
  [128, 352],
  [352, 128],
  [128, 2048],
] as const;

const products: readonly Product[] = [
  ...(['NT', 'NN', 'TN'] as const).map((layout) => product('square', layout, [1, 1024, 1024, 1024])),
  ...projections.flatMap(([k, n]) => [
    product('forward', 'NT', [1, 512, n, k]),
    product('backward', 'NN', [1, 512, k, n]),
  ]),
  product('scores', 'NT', [16, 128, 128, 32], f32),
  product('values', 'NN', [16, 128, 32, 128], f32),
  product('keys backward', 'TN', [16, 128, 32, 128], f32),
  product('lora down', 'NT', [1, 512, 8, 128], f32),
  product('lora up', 'NT', [1, 512, 352, 8], f32),
  product('lora backward', 'TN', [1, 352, 8, 512], f32),
  product('odd', 'NT', [1, 511, 129, 127]),
  product('odd', 'NN', [1, 511, 129, 127]),
  product('decode', 'NT', [1, 1, 352, 128]),
  product('decode', 'NT', [1, 1, 4096, 4096]),
];

const rounds = 7;
const roundMs = 40;
const median = (times: readonly number[]) => [...times].sort((x, y) => x - y)[times.length >> 1];

/** Milliseconds of one product: several are recorded before the host waits once. */
async function time(backend: Backend, run: () => Tensor): Promise<number[]> {
  const batchOf = async (count: number) => {
    const start = performance.now();
    scope(() => {
      for (let i = 0; i < count; i++) run().dispose();
    });
    await backend.sync();
    return (performance.now() - start) / count;
  };
  await batchOf(1);
  const count = Math.max(1, Math.min(500, Math.round(roundMs / (await batchOf(3)))));
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) times.push(await batchOf(count));
  return times;
}

/** Throws where the result's last element is not the dot product it should be. */
async function check(p: Product, a: Float32Array, b: Float32Array, result: Tensor): Promise<void> {
  const [m, n] = result.shape.slice(-2);
  const k = p.a[p.a.length - (p.transposeA ? 2 : 1)];
  const [startA, startB] = [a.length - m * k, b.length - n * k];
  let want = 0;
  for (let q = 0; q < k; q++) {
    const x = a[startA + (p.transposeA ? q * m + m - 1 : (m - 1) * k + q)];
    want += x * b[startB + (p.transposeB ? (n - 1) * k + q : q * n + n - 1)];
  }
  const got = (await result.data()).at(-1)!;
  if (!(Math.abs(got - want) < 0.01)) throw new Error(`${p.name}: got ${got}, want ${want}`);
}

async function bench(backend: Backend, p: Product, type: DType, peer: Peer | null): Promise<Row> {
  const [x, w] = [p.a, p.b].map((shape) => Float32Array.from({ length: size(shape) }, () => Math.random() - 0.5));
  const [a, b] = [tensor(backend, x, p.a), tensor(backend, w, p.b, type)];
  const run = () => matmul(a, b, p);
  const result = run();
  await check(p, x, w, result);
  const times = await time(backend, run);
  const k = p.a[p.a.length - (p.transposeA ? 2 : 1)];
  const operations = 2 * size(result.shape) * k;
  for (const t of [a, b, result]) t.dispose();
  const peerMs = peer ? await peer.time(p) : null;
  const gflops = (ms: number) => Number((operations / ms / 1e6).toFixed(2));
  return {
    device: backend.description,
    shape: `[${p.a}]${p.transposeA ? 'ᵀ' : ''}·[${p.b}]${p.transposeB ? 'ᵀ' : ''}`,
    variant: `${p.name} ${type}`,
    medianMs: Number(median(times).toFixed(4)),
    bestMs: Number(Math.min(...times).toFixed(4)),
    gflops: gflops(median(times)),
    peerGflops: peerMs === null ? null : gflops(peerMs),
  };
}

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'webgpu' },
    only: { type: 'string', default: '' },
    save: { type: 'boolean', default: false },
  },
});

const backend = options.device === 'gpujs' ? openGpuJs() : await openWebGpu();
const peer = await openPeer();
console.log(`${backend.description}; ${availableParallelism()} cores; peer: ${peer?.description ?? 'none'}`);
if (!peer) console.log('No peer: set FLEX_PEER_PYTHON to a Python that has PyTorch.');
const rows: Row[] = [];
for (const p of products.filter(({ name }) => name.includes(options.only))) {
  for (const type of options.device === 'gpujs' ? f32 : p.types) {
    const row = await bench(backend, p, type, peer);
    rows.push(row);
    const numbers = [row.medianMs.toFixed(3), row.gflops.toFixed(1), row.peerGflops?.toFixed(1) ?? '–'];
    console.log(row.variant.padEnd(22), row.shape.padEnd(30), ...numbers.map((text) => text.padStart(9)));
  }
}
for (const row of rows) console.log(JSON.stringify(row));
if (options.save) {
  const folder = new URL('results/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const file = new URL(`gemm-${backend.name}.json`, folder);
  const when = new Date().toISOString();
  const head = { when, node: process.version, cores: availableParallelism(), peer: peer?.description ?? null };
  writeFileSync(file, `${JSON.stringify({ ...head, rows }, null, 2)}\n`);
}
peer?.close();
await backend.close();
process.exit(0);
