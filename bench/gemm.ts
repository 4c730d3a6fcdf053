// Products at the shapes of training and decoding, through the public API, against PyTorch, tfjs and jax-js
// in f32; with what part of the machine's multiply-adds each makes.
// tsx gemm.ts and the options of harness.ts
import { type DType, matmul, scope, size, type Tensor, tensor } from '@flex/tensor';
import { openDevice } from './device.ts';
import { bench, benchOptions, type Case } from './harness.ts';
import { limitsOf, multiplyAdd } from './limits.ts';

interface Product {
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}
type Layout = 'NT' | 'NN' | 'TN';

const options = benchOptions({});
const backend = await openDevice(options);
const both: readonly DType[] = options.device === 'gpujs' ? ['f32'] : ['f32', 'f16'];
const f32: readonly DType[] = ['f32'];

/** [batch, m, n, k]; the types are those of b. */
async function product(
  name: string,
  layout: Layout,
  sizes: readonly number[],
  types = both,
): Promise<Case[]> {
  const [batch, m, n, k] = sizes;
  const lead = batch > 1 ? [batch] : [];
  const [transposeA, transposeB] = [layout === 'TN', layout === 'NT'];
  const a = [...lead, ...(transposeA ? [k, m] : [m, k])];
  const b = [...lead, ...(transposeB ? [n, k] : [k, n])];
  const shape = `[${a}]${transposeA ? 'ᵀ' : ''} · [${b}]${transposeB ? 'ᵀ' : ''}`;
  const work = () => ({ gflops: (2 * batch * m * n * k) / 1e9 });
  const p = { a, b, transposeA, transposeB };
  const cases = types.map(async (type): Promise<Case[]> => {
    const title = `${name} ${layout} ${type} ${shape}`;
    if (!title.includes(options.only)) return [];
    const facts = { op: 'matmul', ...p, type };
    return [{ name: title, facts, work, limit: multiplyAdd, run: await repeated(p, type) }];
  });
  return (await Promise.all(cases)).flat();
}

/** Several products are recorded before the host waits once. */
async function repeated(p: Product, type: DType): Promise<Case['run']> {
  const [x, w] = [p.a, p.b].map((shape) =>
    Float32Array.from({ length: size(shape) }, () => Math.random() - 0.5),
  );
  const [a, b] = [tensor(backend, x, p.a), tensor(backend, w, p.b, type)];
  const result = matmul(a, b, p);
  await check(p, x, w, result);
  result.dispose();
  return async (count) => {
    scope(() => {
      for (let i = 0; i < count; i++) matmul(a, b, p).dispose();
    });
    await backend.sync();
  };
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
  if (!(Math.abs(got - want) < 0.01)) throw new Error(`[${p.a}] · [${p.b}]: got ${got}, want ${want}`);
}

const projections = [
  [128, 128],
  [128, 352],
  [352, 128],
  [128, 2048],
] as const;

const products = await Promise.all([
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
]);

await bench(options, {
  name: `gemm-${options.device}`,
  what: `FLeX, ${backend.description}`,
  cases: products.flat(),
  limits: limitsOf(options),
  warmUps: 1,
  rounds: 5,
  roundMs: 20,
  peers: [
    ['gemm.py'],
    ['js/tfjs.mjs'],
    ['js/tfjs.mjs', 'threads'],
    ['js/jax.mjs', 'wasm'],
    ['js/jax.mjs', 'threads'],
    ...(options.beside.includes('webgpu') ? [['js/jax.mjs', 'webgpu']] : []),
  ],
});
await backend.close();
