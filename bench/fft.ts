// Batches of real vectors to their spectra and back: the work of the Fourier penalty, against NumPy, PyTorch.
// tsx fft.ts [--device webgpu|cpu] [--save]; FLEX_PEER_PYTHON names a Python with numpy and perhaps torch.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { irfft, openGpuJs, openReference, openWebGpu, rfft, scope, type Tensor, tensor } from '@flex/tensor';

/**
 * [vectors, length], a vector being one flattened adapter matrix of rank 8: as long as those of a 7B (8·11008
 * and 8·4096), as those of the bundled model (8·352), and twice as many of the long ones as a 7B has.
 */
const shapes = [
  [4, 88064],
  [8, 32768],
  [36, 2816],
  [192, 88064],
] as const;
/** Most elements that gpu.js holds in a tensor. */
const cpuLimit = 2 ** 24;
/** Rows of which the error is computed. */
const checkedRows = 2;
const device = process.argv.includes('--device')
  ? process.argv[process.argv.indexOf('--device') + 1]
  : 'webgpu';
const backend = device === 'cpu' ? openGpuJs() : await openWebGpu();
const reference = openReference();

interface Row {
  readonly what: string;
  readonly count: number;
  readonly n: number;
  /** Of one rfft. */
  readonly seconds: number;
  /** Of an rfft and its adjoint, which runs the kernels of irfft. */
  readonly seconds_with_adjoint: number;
  readonly dispatches?: number;
  /** ‖X − X₆₄‖/‖X₆₄‖. */
  readonly error?: number;
}

/** The least seconds of several runs: other work on the machine only adds. */
async function least(f: () => void, runs: number): Promise<number> {
  scope(f);
  await backend.sync();
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run++) {
    const started = performance.now();
    scope(f);
    await backend.sync();
    best = Math.min(best, (performance.now() - started) / 1000);
  }
  return best;
}

async function errorOf(numbers: Float32Array, n: number): Promise<number> {
  const x = numbers.subarray(0, checkedRows * n);
  const [got, want] = [backend, reference].map((b) => scope(() => rfft(tensor(b, x, [checkedRows, n]))));
  const [a, b] = [await got.data(), await want.data()];
  got.dispose();
  want.dispose();
  let difference = 0;
  let total = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    total += b[i] ** 2;
  }
  return Math.sqrt(difference / total);
}

async function measure(count: number, n: number): Promise<Row> {
  const numbers = Float32Array.from(
    { length: count * n },
    (_, i) => Math.sin(i * i) + ((i * 7919) % 101) / 101 - 0.5,
  );
  const x: Tensor = tensor(backend, numbers, [count, n]);
  const runs = count * n > 4e6 ? 5 : 15;
  const seconds = await least(() => void rfft(x), runs);
  const before = backend.stats.dispatches;
  scope(() => void rfft(x));
  const dispatches = backend.stats.dispatches - before;
  const both = await least(() => void irfft(rfft(x), n), runs);
  x.dispose();
  const error = await errorOf(numbers, n);
  return {
    what: `FLeX, ${backend.description}`,
    count,
    n,
    seconds,
    seconds_with_adjoint: both,
    dispatches,
    error,
  };
}

const rows: Row[] = [];
for (const [count, n] of shapes) {
  if (device === 'cpu' && count * (n + 2) > cpuLimit) {
    console.log(`[${count}, ${n}] is more than gpu.js holds in a tensor; half of it is measured`);
    rows.push(await measure(count / 2, n));
  } else rows.push(await measure(count, n));
}
const python = process.env.FLEX_PEER_PYTHON;
if (python) {
  const args = [join(import.meta.dirname, 'peers/fft.py'), ...rows.map(({ count, n }) => `${count}x${n}`)];
  const answer = execFileSync(python, args, { encoding: 'utf8' });
  rows.push(...(JSON.parse(answer.trim().split('\n').at(-1)!) as Row[]));
} else console.log('no peer: FLEX_PEER_PYTHON names no Python with numpy');

console.log('   batch × length      rfft ms  with adjoint ms  kernels    error');
for (const { what, count, n, seconds, seconds_with_adjoint, dispatches, error } of rows) {
  const shape = `${count} × ${n}`.padStart(17);
  const times = [seconds, seconds_with_adjoint].map((s) => (1000 * s).toFixed(2));
  const exact = error === undefined ? '' : error.toExponential(1);
  console.log(
    `${shape}  ${times[0].padStart(11)}  ${times[1].padStart(15)}  ` +
      `${String(dispatches ?? '').padStart(7)}  ` +
      `${exact.padStart(7)}  ${what}`,
  );
}
const date = new Date().toISOString();
const records = rows.map((row) => ({ bench: 'fft', date, cpu: cpus()[0].model, ...row }));
for (const record of records) console.log(JSON.stringify(record));
if (process.argv.includes('--save')) {
  const file = join(import.meta.dirname, `results/fft-${device}.json`);
  writeFileSync(file, `${JSON.stringify(records, null, 2)}\n`);
}
process.exit(0);
