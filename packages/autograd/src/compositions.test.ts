import {
  add,
  type Backend,
  causalSoftmax,
  logSoftmax,
  matmul,
  mul,
  permute,
  type RopeTables,
  reshape,
  rfft,
  rmsNorm,
  rope,
  type Shape,
  square,
  sum,
  swiglu,
  type Tensor,
  tensor,
} from '@flex/tensor';
import {
  arbitraryRandom,
  type DrawnInput,
  describeEachBackend,
  deviceBackends,
  drawUniform,
  upload,
} from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { recompute } from './recompute.ts';
import { expectDerivatives, expectSameGradients, type NumberOf } from './testing/index.ts';
import { innerProduct } from './tree.ts';
import { grad } from './value-and-grad.ts';

// Sizes: 4 heads share 2 keys and values, and no axis has the size of another.
const [b, t, h, kv, d, f] = [2, 5, 4, 2, 6, 14];
const e = h * d;

interface Composition {
  readonly name: string;
  readonly shapes: readonly Shape[];
  readonly value: NumberOf;
}

const linear = (x: Tensor, w: Tensor): Tensor => matmul(x, w, { transposeB: true });

function ropeTables(backend: Backend): RopeTables {
  const table = (wave: (angle: number) => number) => {
    const angles = Array.from(
      { length: t * (d / 2) },
      (_, i) => Math.floor(i / (d / 2)) * 0.1 ** (i % (d / 2)),
    );
    return tensor(
      backend,
      Float64Array.from(angles, (angle) => Math.fround(wave(angle))),
      [t, d / 2],
    );
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** Causal attention of 4 heads in 2 groups, with rotary positions. x f32 [b, t, e] → f32 [b, t, e]. */
function attention(x: Tensor, [q, k, v, o]: readonly Tensor[]): Tensor {
  const tables = ropeTables(x.backend);
  const heads = (w: Tensor, n: number) => reshape(linear(x, w), [b, t, n, d]);
  const rows = (y: Tensor, group: number) => reshape(permute(y, [0, 2, 1, 3]), [b * kv, group * t, d]);
  const scores = linear(rows(rope(heads(q, h), tables), h / kv), rows(rope(heads(k, kv), tables), 1));
  const shares = causalSoftmax(scores, { scale: 1 / Math.sqrt(d), queries: t, offset: 0 });
  const mixed = reshape(matmul(shares, rows(heads(v, kv), 1)), [b, h, t, d]);
  return linear(reshape(permute(mixed, [0, 2, 1, 3]), [b, t, e]), o);
}

const attentionShapes: Shape[] = [
  [e, e],
  [kv * d, e],
  [kv * d, e],
  [e, e],
];

function llamaLayer(x: Tensor, weights: readonly Tensor[]): Tensor {
  const [norm1, q, k, v, o, norm2, gate, up, down] = weights;
  const middle = add(x, attention(rmsNorm(x, norm1, 1e-5), [q, k, v, o]));
  const hidden = rmsNorm(middle, norm2, 1e-5);
  return add(middle, linear(swiglu(linear(hidden, gate), linear(hidden, up)), down));
}

const layerShapes: Shape[] = [[b, t, e], [e], ...attentionShapes, [e], [f, e], [f, e], [e, f]];

/** Σ over one-sided bins of ρ(k)·|w_k|², with ρ growing from 0 to 1: it costs to change fast. */
function fourierPenalty(w: Tensor, rho: (bin: number, bins: number) => number): Tensor {
  const spectrum = rfft(w, { norm: 'ortho' });
  const bins = spectrum.shape[spectrum.shape.length - 2];
  const weights = tensor(
    w.backend,
    Float64Array.from({ length: bins }, (_, k) => Math.fround(rho(k, bins))),
    [bins, 1],
  );
  return sum(mul(square(spectrum), weights));
}

const compositions: Composition[] = [
  {
    name: 'an attention block',
    shapes: [[b, t, e], ...attentionShapes],
    value: ([x, ...weights]) => sum(square(attention(x, weights))),
  },
  {
    name: 'a Llama layer',
    shapes: layerShapes,
    value: ([x, ...weights]) => sum(logSoftmax(llamaLayer(x, weights))),
  },
  {
    name: 'a Llama layer, recomputed',
    shapes: layerShapes,
    value: (xs) => sum(logSoftmax(recompute(() => llamaLayer(xs[0], xs.slice(1))))),
  },
  ...[24, 21].map(
    (n): Composition => ({
      name: `the Fourier penalty Σρ|rfft(w)|² at length ${n}`,
      shapes: [[3, n]],
      value: ([w]) => fourierPenalty(w, (k, bins) => k / bins),
    }),
  ),
  {
    name: 'the Fourier penalty of a LoRA product',
    shapes: [
      [10, 2],
      [2, 12],
    ],
    value: ([up, down]) => fourierPenalty(reshape(matmul(up, down), [120]), (k) => (k > 30 ? 1 : 0)),
  },
];

/** Numbers small enough that softmax and silu are bent but not flat. */
const draw = (shapes: readonly Shape[], random: () => number): DrawnInput[] =>
  shapes.map((shape) => {
    const drawn = drawUniform(shape, random);
    return { ...drawn, data: drawn.data.map((x) => 0.6 * x) };
  });

/** ⟨∇value, direction⟩. */
const slope =
  (value: NumberOf, direction: readonly DrawnInput[]): NumberOf =>
  (xs) =>
    innerProduct(
      grad(value, xs),
      direction.map((d) => upload(xs[0].backend, d)),
    );

const numRuns = 4;

for (const { name, shapes, value } of compositions) {
  describe(`gradient of ${name}`, () => {
    test('is that of differences', () =>
      fc.assert(
        fc.asyncProperty(arbitraryRandom, (random) =>
          expectDerivatives(value, draw(shapes, random), random, name),
        ),
        { numRuns },
      ));
    test('has itself the gradient of differences', () =>
      fc.assert(
        fc.asyncProperty(arbitraryRandom, (random) => {
          const inputs = draw(shapes, random);
          return expectDerivatives(
            slope(value, draw(shapes, random)),
            inputs,
            random,
            `the gradient of ${name}`,
          );
        }),
        { numRuns: 2 },
      ));
    describeEachBackend((backend) => {
      test('is that of the f64 reference', () =>
        fc.assert(
          fc.asyncProperty(arbitraryRandom, (random) =>
            expectSameGradients(backend(), value, draw(shapes, random), 2e-5, name),
          ),
          { numRuns },
        ));
    }, deviceBackends);
  });
}
