import {
  add,
  type Backend,
  irfft,
  mul,
  reshape,
  rfft,
  scope,
  square,
  sum,
  type Tensor,
  tensor,
} from '@flex/tensor';
import {
  arbitraryRandom,
  describeEachBackend,
  deviceBackends,
  drawUniform,
  expectClose,
  referenceBackend,
  relativeError,
} from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hvp } from './hvp.ts';
import { expectDerivatives, expectSameGradients, type NumberOf } from './testing/index.ts';
import { grad } from './value-and-grad.ts';
import { vjp } from './vjp.ts';

const binsOf = (n: number) => Math.floor(n / 2) + 1;

/** Lengths of every kind: one, powers of two, odd, with a large prime factor. */
const lengths = fc.constantFrom(1, 2, 3, 4, 7, 12, 15, 16, 43, 64, 67, 86, 134);

const everyLength = (f: (n: number, random: () => number) => Promise<void>) =>
  fc.assert(fc.asyncProperty(lengths, arbitraryRandom, f), { numRuns: 20 });

/** Σ ρ|rfft(w)|² of w = xs[0], ρ a fixed ramp over the bins. */
const penalty =
  (n: number): NumberOf =>
  ([w]) => {
    const rho = tensor(
      w.backend,
      Float32Array.from({ length: binsOf(n) }, (_, k) => k / binsOf(n)),
      [binsOf(n), 1],
    );
    return sum(mul(square(rfft(w, { norm: 'ortho' })), rho));
  };

const dot = (x: ArrayLike<number>, y: ArrayLike<number>) => {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i] * y[i];
  return total;
};

/** f(x), and ∂⟨f(x), y⟩/∂x, which for a linear f is its adjoint at y. */
async function withAdjoint(f: (x: Tensor) => Tensor, x: Tensor, y: Tensor) {
  const { value, grads } = vjp(f, x, y);
  return { value: await value.data(), adjoint: await grads.data() };
}

/** ⟨f x, y⟩ = ⟨x, f* y⟩, to the precision of the backend. */
async function expectAdjoint(
  backend: Backend,
  f: (x: Tensor) => Tensor,
  shapes: [number[], number[]],
  random: () => number,
) {
  const [x, y] = shapes.map((shape) => drawUniform(shape, random));
  const { value, adjoint } = await withAdjoint(
    f,
    tensor(backend, x.data, x.shape),
    tensor(backend, y.data, y.shape),
  );
  expect(adjoint.length).toBe(x.data.length);
  const scale = Math.hypot(...value) * Math.hypot(...y.data);
  const tolerance = backend.name === 'reference' ? 1e-13 : 1e-6;
  expect(Math.abs(dot(value, y.data) - dot(x.data, adjoint))).toBeLessThanOrEqual(tolerance * scale);
}

describeEachBackend((backend) => {
  test('⟨rfft x, Y⟩ = ⟨x, rfft* Y⟩', () =>
    everyLength(async (n, random) => {
      for (const norm of ['backward', 'ortho', 'forward'] as const) {
        await expectAdjoint(
          backend(),
          (x) => rfft(x, { norm }),
          [
            [2, n],
            [2, binsOf(n), 2],
          ],
          random,
        );
      }
    }));

  test('⟨irfft X, y⟩ = ⟨X, irfft* y⟩', () =>
    everyLength(async (n, random) => {
      for (const norm of ['backward', 'ortho', 'forward'] as const) {
        await expectAdjoint(
          backend(),
          (X) => irfft(X, n, { norm }),
          [
            [2, binsOf(n), 2],
            [2, n],
          ],
          random,
        );
      }
    }));

  test('the adjoint of rfft is Σ_k Re(Y_k·e^(2πi·jk/n)), bin by bin', () =>
    everyLength(async (n, random) => {
      const Y = drawUniform([binsOf(n), 2], random);
      const zeros = tensor(backend(), new Float32Array(n), [n]);
      const { adjoint } = await withAdjoint(rfft, zeros, tensor(backend(), Y.data, Y.shape));
      const want = Float64Array.from({ length: n }, (_, j) => {
        let total = 0;
        for (let k = 0; k < binsOf(n); k++) {
          const angle = (2 * Math.PI * ((j * k) % n)) / n;
          total += Y.data[2 * k] * Math.cos(angle) - Y.data[2 * k + 1] * Math.sin(angle);
        }
        return total;
      });
      expect(relativeError(adjoint, want)).toBeLessThanOrEqual(backend().name === 'reference' ? 1e-13 : 1e-6);
    }));

  test('the imaginary parts that irfft ignores get no gradient', () =>
    everyLength(async (n, random) => {
      const y = drawUniform([n], random);
      const X = tensor(backend(), new Float32Array(2 * binsOf(n)), [binsOf(n), 2]);
      const { adjoint } = await withAdjoint((t) => irfft(t, n), X, tensor(backend(), y.data, y.shape));
      expect(Math.abs(adjoint[1])).toBe(0);
      if (n % 2 === 0) expect(Math.abs(adjoint[n + 1])).toBe(0);
    }));

  test('a gradient through a transform leaves nothing behind', () => {
    const round = () =>
      scope(() => {
        const w = tensor(backend(), new Float32Array(3 * 134), [3, 134]);
        grad(penalty(134), [w]);
      });
    round();
    const before = backend().stats.liveBytes;
    round();
    expect(backend().stats.liveBytes).toBe(before);
  });
});

describe('gradients in f64', () => {
  test('of Σ ρ|rfft(w)|² are those of differences', () =>
    everyLength((n, random) =>
      expectDerivatives(penalty(n), [drawUniform([2, n], random)], random, `penalty ${n}`),
    ));

  test('of the gradient of Σ|rfft(w)|⁴ are those of differences', () =>
    everyLength((n, random) => {
      const quartic = (w: Tensor) => sum(square(sum(square(rfft(w, { norm: 'ortho' })), { axes: [-1] })));
      const slope: NumberOf = ([w, v]) => sum(mul(grad(quartic, w), v));
      return expectDerivatives(
        slope,
        [drawUniform([n], random), drawUniform([n], random)],
        random,
        `quartic ${n}`,
      );
    }));

  test('of irfft are those of differences', () =>
    everyLength((n, random) => {
      const f: NumberOf = ([X]) => sum(square(square(irfft(X, n, { norm: 'ortho' }))));
      return expectDerivatives(f, [drawUniform([binsOf(n), 2], random)], random, `irfft ${n}`);
    }));

  test('the Hessian of Σ ρ|rfft(w)|² is 2·rfft*·ρ·rfft', () =>
    everyLength(async (n, random) => {
      const backend = await referenceBackend.open();
      const w = tensor(backend, drawUniform([n], random).data, [n]);
      const v = tensor(backend, drawUniform([n], random).data, [n]);
      const f = penalty(n);
      const [product] = hvp(f, [w], [v]);
      // f is quadratic: its gradient at v is H·v.
      const [gradient] = grad(f, [v]);
      expectClose(await product.data(), await gradient.data(), 1e-12, `H·v for n = ${n}`);
    }));

  test('flow through a transform of a reshaped sum and back', () =>
    everyLength((n, random) => {
      const f: NumberOf = ([a, b]) => {
        const w = reshape(add(a, b), [2 * n]);
        return sum(mul(irfft(rfft(w), 2 * n), square(w)));
      };
      return expectDerivatives(
        f,
        [drawUniform([2, n], random), drawUniform([2, n], random)],
        random,
        `round trip ${n}`,
      );
    }));
});

describeEachBackend((backend) => {
  test('the gradient of Σ ρ|rfft(w)|² is that of the f64 reference', () =>
    everyLength((n, random) =>
      expectSameGradients(backend(), penalty(n), [drawUniform([2, n], random)], 2e-6, `penalty ${n}`),
    ));
}, deviceBackends);
