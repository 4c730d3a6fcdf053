// jax-js: jax.mjs wasm | threads | webgpu. It asks the navigator, which Node 20 has not, and runs on one thread
// where there is no web worker; `threads` gives it workers, `webgpu` the Dawn that FLeX uses.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { randoms, servePeer } from './peer.mjs';
import { aroundWebWorker, blobsAreFiles, WebWorker } from './workers.mjs';

const device = process.argv[2];
const threads = device === 'threads' ? availableParallelism() : 1;
globalThis.navigator = { hardwareConcurrency: threads, userAgent: '' };
if (device === 'threads') {
  blobsAreFiles(aroundWebWorker);
  globalThis.Worker = WebWorker;
}
if (device === 'webgpu') {
  const tensor = createRequire(new URL('../../../packages/tensor/package.json', import.meta.url));
  const { create, globals } = await import(tensor.resolve('webgpu'));
  Object.assign(globalThis, globals);
  navigator.gpu = create([]);
}
const { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy: np } = await import('@jax-js/jax');
const backend = device === 'webgpu' ? 'webgpu' : 'wasm';
if (!(await init(backend)).includes(backend)) throw new Error(`jax-js has no ${backend} here`);
defaultDevice(backend);

const given = (shape) => np.array(randoms(shape)).reshape(shape);

/** Of facts: a function and its arguments. */
const computations = {
  matmul({ a, b, transposeA, transposeB, type }) {
    if (type !== 'f32') return null;
    const swapped = (x, axes) => (axes ? np.swapaxes(x, -1, -2) : x);
    return [(x, y) => np.matmul(swapped(x, transposeA), swapped(y, transposeB)), given(a), given(b)];
  },
};

const { version } = JSON.parse(
  readFileSync(new URL('node_modules/@jax-js/jax/package.json', import.meta.url), 'utf8'),
);
await servePeer(`jax-js ${version} ${backend}, threads: ${threads}`, (facts) => {
  const made = computations[facts.op]?.(facts);
  if (!made) return null;
  const [f, ...args] = [jit(made[0]), ...made.slice(1)];
  return async (count) => {
    for (let i = 0; i < count; i++) {
      const result = f(...args.map((x) => x.ref));
      await blockUntilReady(result);
      result.dispose();
    }
  };
});
