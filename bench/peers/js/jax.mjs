// jax-js: jax.mjs wasm | threads | webgpu. It asks the navigator, which Node 20 does not have, and runs
// on one thread where there is no web worker; `threads` gives it workers, `webgpu` the Dawn that FLeX uses.
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
const { blockUntilReady, defaultDevice, init, jit, nn, numpy: np, tree } = await import('@jax-js/jax');
const backend = device === 'webgpu' ? 'webgpu' : 'wasm';
const started = (await init(backend)).includes(backend);
if (started) defaultDevice(backend);

const given = (shape) => np.array(randoms(shape)).reshape(shape);

const ofShape =
  (arity, f) =>
  ({ shape }) => [f, ...Array.from({ length: arity }, () => given(shape))];

/** Of facts: a function and its arguments. */
const computations = {
  matmul({ a, b, transposeA, transposeB, type }) {
    if (type !== 'f32') return null;
    const swapped = (x, axes) => (axes ? np.swapaxes(x, -1, -2) : x);
    return [(x, y) => np.matmul(swapped(x, transposeA), swapped(y, transposeB)), given(a), given(b)];
  },
  scale: ofShape(1, (x) => x.mul(2)),
  add: ofShape(2, (x, y) => x.add(y)),
  mulAdd: ofShape(3, (x, y, z) => x.mul(y).add(z)),
  exp: ofShape(1, np.exp),
  silu: ofShape(1, nn.silu),
  softmax: ofShape(1, (x) => nn.softmax(x, -1)),
  rfft({ count, n, adjoint }) {
    // Of 192 × 88,064 one would take a minute.
    if (adjoint || count * n > 2 ** 20) return null;
    return [np.fft.rfft, given([count, n])];
  },
  rmsNorm({ shape }) {
    const norm = (x, weight) => {
      const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true });
      return x.div(np.sqrt(meanSquare.add(1e-5))).mul(weight);
    };
    return [norm, given(shape), given(shape.slice(-1))];
  },
  adamw({ shapes }) {
    const update = (all) =>
      all.map(([p, g, m, v]) => {
        const mean = m.mul(0.9).add(g.ref.mul(0.1));
        const meanSquare = v.mul(0.999).add(np.square(g).mul(0.001));
        const step = mean.ref.mul(2e-4).div(np.sqrt(meanSquare.ref).add(1e-8));
        return [p.mul(0.999998).sub(step), mean, meanSquare];
      });
    return [update, shapes.map((shape) => [given(shape), given(shape), given(shape), np.abs(given(shape))])];
  },
};

const { version } = JSON.parse(
  readFileSync(new URL('node_modules/@jax-js/jax/package.json', import.meta.url), 'utf8'),
);
await servePeer(`jax-js ${version} ${backend}, threads: ${threads}`, (facts) => {
  const made = started ? computations[facts.op]?.(facts) : null;
  if (!made) return null;
  const [f, ...args] = [jit(made[0]), ...made.slice(1)];
  return async (count) => {
    for (let i = 0; i < count; i++) {
      const results = await blockUntilReady(f(...args.map((x) => tree.ref(x))));
      tree.dispose(results);
    }
  };
});
