// Batches of real vectors to their spectra and back: the work of the Fourier penalty, against NumPy, PyTorch
// and jax-js; tfjs has none on WebAssembly.
// tsx fft.ts and the options of harness.ts
import { irfft, openReference, rfft, scope, tensor } from '@flex/tensor';
import { relativeError } from '@flex/tensor/testing';
import { openDevice } from './device.ts';
import { bench, benchOptions, type Case } from './harness.ts';

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
const options = benchOptions({});
const backend = await openDevice(options);
const reference = openReference();

/** ‖X − X₆₄‖ / ‖X₆₄‖ of the first rows. */
async function errorOf(numbers: Float32Array, n: number): Promise<number> {
  const x = numbers.subarray(0, checkedRows * n);
  const spectra = [backend, reference].map((b) => scope(() => rfft(tensor(b, x, [checkedRows, n]))));
  const [got, want] = await Promise.all(spectra.map((spectrum) => spectrum.data()));
  for (const spectrum of spectra) spectrum.dispose();
  return relativeError(got, want);
}

/** An rfft; and an rfft with its adjoint, which runs the kernels of irfft. */
function cases([wanted, n]: readonly [number, number]): Case[] {
  const tooMany = options.device === 'gpujs' && wanted * (n + 2) > cpuLimit;
  const count = tooMany ? wanted / 2 : wanted;
  const numbers = Float32Array.from(
    { length: count * n },
    (_, i) => Math.sin(i * i) + ((i * 7919) % 101) / 101 - 0.5,
  );
  const x = tensor(backend, numbers, [count, n]);
  const facts = { op: 'rfft', count, n };
  const repeated = (f: () => void) => async (times: number) => {
    for (let i = 0; i < times; i++) scope(f);
    await backend.sync();
  };
  const forward = () => void rfft(x);
  return [
    {
      name: `rfft ${count} × ${n}`,
      facts: { ...facts, adjoint: false },
      run: repeated(forward),
      async report() {
        const before = backend.stats.dispatches;
        scope(forward);
        return { dispatches: backend.stats.dispatches - before, error: await errorOf(numbers, n) };
      },
    },
    {
      name: `rfft and adjoint ${count} × ${n}`,
      facts: { ...facts, adjoint: true },
      run: repeated(() => void irfft(rfft(x), n)),
    },
  ];
}

await bench(options, {
  name: `fft-${options.device}`,
  what: `FLeX, ${backend.description}`,
  cases: shapes.flatMap(cases),
  warmUps: 1,
  rounds: 7,
  peers: [
    ['fft.py', 'numpy'],
    ['fft.py', 'torch'],
    ['js/jax.mjs', 'threads'],
  ],
});
await backend.close();
