// Products at the shapes of training and decoding, through the public API, against PyTorch.
// tsx gemm.ts [--device webgpu|cpu] [--only text] [--save]; FLEX_PEER_PYTHON names a Python with torch.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type DType, matmul, openGpuJs, openWebGpu, scope, size, type Tensor, tensor } from '@flex/tensor';

interface Product {
  readonly name: string;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly types: readonly DType[];
}

interface Row {
  readonly what: string;
  readonly shape: string;
  readonly variant: string;
  readonly medianMs: number;
  readonly bestMs: number;
  /** CPU time of this process: what a software device takes whatever else runs on the machine. */
  readonly cpuMs?: number;
  readonly gflops: number;
}

const both: readonly DType[] = ['f32', 'f16'];
const f32: readonly DType[] = ['f32'];
type Layout = 'NT' | 'NN' | 'TN';

/** [batch, m, n, k]; the types are those of b. */
const product = (
  name: string,
  layout: Layout,
  [batch, m, n, k]: readonly number[],
  types = both,
): Product => {
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

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'webgpu' },
    only: { type: 'string', default: '' },
    save: { type: 'boolean', default: false },
  },
});
const backend = options.device === 'cpu' ? openGpuJs() : await openWebGpu();

interface Times {
  readonly wall: readonly number[];
  readonly cpu?: readonly number[];
}

/** Milliseconds of one product: several are recorded before the host waits once. */
async function time(run: () => Tensor): Promise<Times> {
  const each = async (count: number) => {
    const [started, used] = [performance.now(), process.cpuUsage()];
    scope(() => {
      for (let i = 0; i < count; i++) run().dispose();
    });
    await backend.sync();
    const { user, system } = process.cpuUsage(used);
    return { wall: (performance.now() - started) / count, cpu: (user + system) / 1000 / count };
  };
  await each(1);
  const count = Math.max(1, Math.min(500, Math.round(roundMs / (await each(3)).wall)));
  const times: { wall: number; cpu: number }[] = [];
  for (let round = 0; round < rounds; round++) times.push(await each(count));
  return { wall: times.map((t) => t.wall), cpu: times.map((t) => t.cpu) };
}

/** Throws where the result's last element is not the dot product it should be. */
async function check(p: Product, a: Float32Array, b: Float32Array, result: Tensor): Promise<void> {
  const [m, n] = result.shape.slice(-2);
  const k = innerSize(p);
  const [startA, startB] = [a.length - m * k, b.length - n * k];
  let want = 0;
  for (let q = 0; q < k; q++) {
    const x = a[startA + (p.transposeA ? q * m + m - 1 : (m - 1) * k + q)];
    want += x * b[startB + (p.transposeB ? (n - 1) * k + q : q * n + n - 1)];
  }
  const got = (await result.data()).at(-1)!;
  if (!(Math.abs(got - want) < 0.01)) throw new Error(`${p.name}: got ${got}, want ${want}`);
}

const innerSize = ({ a, transposeA }: Product) => a[a.length - (transposeA ? 2 : 1)];

function rowOf(what: string, p: Product, type: DType, { wall, cpu }: Times): Row {
  const [m, n] = [p.a[p.a.length - (p.transposeA ? 1 : 2)], p.b[p.b.length - (p.transposeB ? 2 : 1)]];
  const operations = 2 * size(p.a.slice(0, -2)) * m * n * innerSize(p);
  return {
    what,
    shape: `[${p.a}]${p.transposeA ? 'ᵀ' : ''} · [${p.b}]${p.transposeB ? 'ᵀ' : ''}`,
    variant: `${p.name} ${type}`,
    medianMs: Number(median(wall).toFixed(4)),
    bestMs: Number(Math.min(...wall).toFixed(4)),
    cpuMs: cpu && Number(median(cpu).toFixed(4)),
    gflops: Number((operations / median(wall) / 1e6).toFixed(2)),
  };
}

async function measure(p: Product, type: DType): Promise<Row> {
  const [x, w] = [p.a, p.b].map((shape) =>
    Float32Array.from({ length: size(shape) }, () => Math.random() - 0.5),
  );
  const [a, b] = [tensor(backend, x, p.a), tensor(backend, w, p.b, type)];
  const result = matmul(a, b, p);
  await check(p, x, w, result);
  const times = await time(() => matmul(a, b, p));
  for (const t of [a, b, result]) t.dispose();
  return rowOf(`FLeX, ${backend.description}`, p, type, times);
}

/** PyTorch at the same shapes; nothing where no Python is named. */
function measurePeer(chosen: readonly Product[]): Row[] {
  const python = process.env.FLEX_PEER_PYTHON;
  if (!python) {
    console.log('no peer: FLEX_PEER_PYTHON names no Python with torch');
    return [];
  }
  const script = join(import.meta.dirname, 'peers/gemm.py');
  const answer = execFileSync(python, [script], { encoding: 'utf8', input: JSON.stringify(chosen) });
  const { what, ms } = JSON.parse(answer.trim().split('\n').at(-1)!) as { what: string; ms: number[] };
  return chosen.map((p, i) => rowOf(what, p, 'f32', { wall: [ms[i]] }));
}

const chosen = products.filter(({ name }) => name.includes(options.only));
const rows: Row[] = [];
for (const p of chosen) {
  for (const type of options.device === 'cpu' ? f32 : p.types) rows.push(await measure(p, type));
}
rows.push(...measurePeer(chosen));

console.log('product                shape                            median ms     CPU ms  GFLOP/s');
for (const { what, shape, variant, medianMs, cpuMs, gflops } of rows) {
  const numbers = [medianMs.toFixed(3), cpuMs?.toFixed(3) ?? '', gflops.toFixed(1)];
  const [wall, cpu, rate] = numbers.map((text) => text.padStart(10));
  console.log(
    `${variant.padEnd(22)} ${shape.padEnd(30)} ${wall} ${cpu} ${rate.slice(2)}  ${what.slice(0, 40)}`,
  );
}
const date = new Date().toISOString();
const records = rows.map((row) => ({ bench: 'gemm', date, cpu: cpus()[0].model, ...row }));
for (const record of records) console.log(JSON.stringify(record));
if (options.save) {
  const file = join(import.meta.dirname, `results/gemm-${options.device}.json`);
  writeFileSync(file, `${JSON.stringify(records, null, 2)}\n`);
}
process.exit(0);
