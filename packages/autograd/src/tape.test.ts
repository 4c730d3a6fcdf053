import {
  add,
  addRmsNorm,
  attention,
  type Backend,
  dropout,
  eachTensor,
  matmul,
  mul,
  ones,
  openCounting,
  reshape,
  rmsNorm,
  type Shape,
  scope,
  silu,
  square,
  sum,
  swiglu,
  type Tensor,
} from '@flex/tensor';
import { arbitraryRandom, describeEachBackend } from '@flex/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hvp } from './hvp.ts';
import { recompute } from './recompute.ts';
import { numbers, waves } from './testing/functions.ts';
import { valueAndGrad } from './value-and-grad.ts';

const n = 6;
const times = process.env.FLEX_LONG_TESTS === '1' ? 10 : 1;

type Weights = Readonly<Record<'x' | 'w' | 'norm', Tensor>>;

/** Functions of two [n, n] and of the weights: cheap ones and products, views, and several results. */
const functions: ((a: Tensor, b: Tensor, at: Weights) => Tensor)[] = [
  (a, b) => add(a, b),
  (a, b) => swiglu(a, b),
  (a) => silu(a),
  (a, _, { w }) => matmul(a, w, { transposeB: true }),
  (a, b, { w }) => matmul(a, w, { plus: b }),
  (a, b) => reshape(mul(reshape(a, [n * n]), reshape(b, [n * n])), [n, n]),
  (a, _, { norm }) => rmsNorm(a, norm, 1e-5),
  (a, b, { norm }) => mul(...addRmsNorm(a, b, norm, 1e-5)),
  (a) => dropout(a, { rate: 0.3, key: [1, 2], counter: [3, 4] }),
  // A constant that the scope makes.
  (a) => mul(a, ones(a.backend, [n, n])),
];

type How = 'plain' | 'scope' | 'recompute';
const run: Record<How, (f: () => Tensor) => Tensor> = { plain: (f) => f(), scope, recompute };

/** A random function of many steps, parts of which run in scopes, or are recomputed, one in the other. */
function program(random: () => number, enclose: (how: How) => How) {
  const pick = (count: number) => Math.floor(random() * count);
  const part = (depth: number): ((a: Tensor, b: Tensor, at: Weights) => Tensor) => {
    const steps = Array.from({ length: 4 + pick(5) }, () => {
      const inner = depth > 0 && random() < 0.4;
      const [i, j, f] = [pick(4), pick(4), inner ? part(depth - 1) : functions[pick(functions.length)]];
      return { f, i, j, how: enclose(inner ? (['scope', 'recompute', 'plain'] as const)[pick(3)] : 'plain') };
    });
    return (a, b, at) => {
      const made = [a, b];
      for (const { f, i, j, how } of steps) {
        const [x, y] = [made.at(-1 - (i % made.length))!, made.at(-1 - (j % made.length))!];
        made.push(
          rmsNorm(
            run[how](() => f(x, y, at)),
            at.norm,
            1e-5,
          ),
        );
      }
      return made.at(-1)!;
    };
  };
  const whole = part(3);
  return ({ x, w, norm }: Weights) => sum(square(whole(x, silu(x), { x, w, norm })));
}

const draw = (backend: Backend, phase: number): Weights => ({
  x: waves(backend, [n, n], phase),
  w: waves(backend, [n, n], phase + 1),
  norm: waves(backend, [n], phase + 2),
});

/** The same random numbers whenever it is called. */
const replayed = (random: () => number) => {
  const seed = Math.floor(random() * 2 ** 31);
  return () => {
    let state = seed;
    return () => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state / 2 ** 31;
    };
  };
};

/** Bytes that are held after `layers` layers, for each beyond the first. */
function heldByLayer(backend: Backend, layer: (x: Tensor) => Tensor, shape: Shape = [n, n]): number {
  const after = (layers: number) => {
    let held = 0;
    scope(() => {
      const x = waves(backend, shape);
      valueAndGrad((x: Tensor) => {
        let y = x;
        for (let i = 0; i < layers; i++) y = layer(y);
        held = backend.stats.liveBytes;
        return sum(y);
      }, x);
    });
    return held;
  };
  return after(3) - after(2);
}
/** Bytes of one tensor on the backend. */
const bytesOn = (backend: Backend, shape: Shape = [n, n]) => {
  const before = backend.stats.liveBytes;
  const t = ones(backend, shape);
  const bytes = backend.stats.liveBytes - before;
  t.dispose();
  return bytes;
};

describeEachBackend((backend) => {
  test('what is freed and computed again gives the same bits, however scopes lie in each other', () =>
    fc.assert(
      fc.asyncProperty(arbitraryRandom, async (random) => {
        const again = replayed(random);
        const at = draw(backend(), 0);
        const live = backend().stats.liveBytes;
        const gradient = async (enclose: (how: How) => How) => {
          const { value, grads } = valueAndGrad(program(again(), enclose), at);
          const found = await Promise.all([value, grads.x, grads.w, grads.norm].map(numbers));
          eachTensor([value, grads], (t) => t.dispose());
          expect(backend().stats.liveBytes).toBe(live);
          return found;
        };
        const plain = await gradient(() => 'plain');
        expect(await gradient((how) => how)).toEqual(plain);
        expect(await gradient((how) => (how === 'scope' ? 'recompute' : how))).toEqual(plain);
      }),
      { numRuns: (backend().name === 'reference' ? 15 : 3) * times },
    ));

  test('and so does the gradient of a gradient', () =>
    fc.assert(
      fc.asyncProperty(arbitraryRandom, async (random) => {
        const again = replayed(random);
        const [at, v] = [draw(backend(), 0), draw(backend(), 5)];
        const product = (enclose: (how: How) => How) => {
          const { x, w, norm } = hvp(program(again(), enclose), at, v);
          return Promise.all([x, w, norm].map(numbers));
        };
        expect(await product((how) => how)).toEqual(await product(() => 'plain'));
      }),
      { numRuns: (backend().name === 'reference' ? 3 : 1) * times },
    ));

  test('a scope keeps what products give and gradients read, and of a recomputed one only the result is left', () => {
    const w = waves(backend(), [n, n]);
    const twelve = (x: Tensor) => Array.from({ length: 12 }).reduce((y: Tensor) => silu(add(y, x)), x);
    const layer = (x: Tensor) => {
      const a = matmul(x, w);
      const b = matmul(twelve(a), w);
      return add(x, twelve(b));
    };
    // a and b, from which each chain can be computed again, and the result.
    expect(heldByLayer(backend(), (x) => scope(() => layer(x)))).toBe(3 * bytesOn(backend()));
    expect(heldByLayer(backend(), (x) => recompute(() => layer(x)))).toBe(bytesOn(backend()));
  });
});

test('attention is kept where it is as much arithmetic as products, and computed again where it is light', () => {
  const backend = openCounting();
  const held = (t: number, d: number) => {
    const [q, k, v, o] = [1, 2, 3, 4].map((phase) => waves(backend, [d, d], phase));
    const layer = (x: Tensor) => {
      const [queries, keys, values] = [q, k, v].map((w) => reshape(matmul(x, w), [1, t, 1, d]));
      const mixed = attention(queries, keys, values, { scale: 0.2 });
      return add(x, matmul(reshape(mixed, [t, d]), o));
    };
    return heldByLayer(backend, (x) => scope(() => layer(x)), [t, d]) / bytesOn(backend, [t, d]);
  };
  // Queries, keys, values and the result; and what attention gave, with a number a row.
  expect(held(4, 64)).toBe(4);
  expect(held(16, 16)).toBeGreaterThan(5);
});
