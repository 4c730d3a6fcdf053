import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  add,
  addScaled,
  broadcastTo,
  type HostArray,
  maximum,
  mul,
  neg,
  openCounting,
  type Shape,
  scope,
  sigmoid,
  size,
  sub,
  swiglu,
  type Tensor,
  tanh,
  tensor,
  where,
} from './index.ts';
import { broadcastShapes, type Expr, elementwise, strides } from './kernel.ts';
import {
  arbitraryRandom,
  describeEachBackend,
  deviceBackends,
  drawUniform,
  expectClose,
  kernelsOf,
  readOnce,
} from './testing/index.ts';

/** A shape of rank up to 4 and two that stretch to it: any leading axes left out, any axis made 1. */
const broadcastable = fc
  .array(fc.record({ n: fc.integer({ min: 1, max: 9 }), ones: fc.nat({ max: 7 }) }), { maxLength: 4 })
  .chain((axes) =>
    fc
      .array(fc.nat({ max: axes.length }), { minLength: 3, maxLength: 3 })
      .map((leads) =>
        leads.map(
          (lead, k): Shape =>
            axes.slice(Math.min(lead, axes.length)).map(({ n, ones }) => ((ones >> k) & 1 ? 1 : n)),
        ),
      ),
  );

/** The elements stretched to a shape, index by index as NumPy defines it. */
function stretched(data: ArrayLike<number>, from: Shape, to: Shape): Float64Array {
  const lead = to.length - from.length;
  const [steps, stepsTo] = [strides(from), strides(to)];
  return Float64Array.from({ length: size(to) }, (_, flat) => {
    let at = 0;
    for (let i = 0; i < from.length; i++) {
      const index = Math.floor(flat / stepsTo[lead + i]) % to[lead + i];
      if (from[i] !== 1) at += index * steps[i];
    }
    return data[at];
  });
}

/** Ops of two and three inputs that round alike everywhere, with what they mean. */
const laws: readonly [
  number,
  (t: readonly Tensor[]) => Tensor,
  (x: number, y: number, z: number) => number,
][] = [
  [2, ([x, y]) => sub(x, y), (x, y) => x - y],
  [2, ([x, y]) => mul(x, y), (x, y) => x * y],
  [3, ([x, y, z]) => where(x, y, z), (x, y, z) => (x !== 0 ? y : z)],
];

describeEachBackend((backend) => {
  test('broadcasting is that of NumPy, and commutes with broadcastTo', () =>
    fc.assert(
      fc.asyncProperty(
        broadcastable,
        fc.constantFrom(...laws),
        arbitraryRandom,
        async (shapes, [arity, f, meaning], random) => {
          const drawn = shapes.slice(0, arity).map((shape) => drawUniform(shape, random));
          if (arity === 3) drawn[0] = { ...drawn[0], data: drawn[0].data.map(Math.round) };
          const to = broadcastShapes('test', drawn);
          const xs = () => drawn.map(({ data, shape }) => tensor(backend(), data, shape));
          const direct = await readOnce(() => f(xs()));
          const stretchedFirst = await readOnce(() => f(xs().map((x) => broadcastTo(x, to))));
          const [x, y, z = new Float64Array(size(to))] = drawn.map(({ data, shape }) =>
            stretched(data, shape, to),
          );
          expect(direct.shape).toEqual(to);
          expectClose(
            direct.data,
            x.map((v, i) => meaning(v, y[i], z[i])),
            1e-7,
            'direct',
            to,
          );
          expectClose(stretchedFirst.data, direct.data, 0, 'after broadcastTo', to);
        },
      ),
      { numRuns: 20 },
    ));

  test('scalars may be whole at one call and not at the next', async () => {
    const scalars = [2, 0.5, -3, 1e-3, 0, -0.75];
    for (const scale of scalars) {
      const got = await readOnce(() =>
        addScaled(tensor(backend(), [1, 2], [2]), tensor(backend(), [4, 8], [2]), scale),
      );
      expectClose(got.data, [1 + 4 * scale, 2 + 8 * scale], 1e-6, `scale ${scale}`);
    }
  });

  test('tensors without elements stay empty', async () => {
    for (const [a, b] of [
      [[0], [0]],
      [[0, 3], [3]],
      [
        [2, 0],
        [2, 1],
      ],
      [[0], []],
      [
        [1, 3],
        [0, 1],
      ],
    ] as Shape[][]) {
      const zeros = (shape: Shape) => tensor(backend(), new Float32Array(size(shape)), shape);
      const got = await readOnce(() => swiglu(zeros(a), add(zeros(a), zeros(b))));
      expect(got.shape).toEqual(
        broadcastShapes(
          'test',
          [a, b].map((shape) => ({ shape, dtype: 'f32' as const })),
        ),
      );
      expect(got.data).toHaveLength(0);
    }
  });
});

test('a text grows by as much with each function that it goes through', () => {
  const lengthOf = (depth: number) => {
    const { backend, kernels } = kernelsOf(openCounting());
    const f = elementwise(`through ${depth}`, (x) =>
      Array.from({ length: depth }).reduce<Expr>((y) => neg(maximum(tanh(sigmoid(y)), 0.25)), x),
    );
    f(tensor(backend, [1, 2, 3, 4], [4]));
    return kernels[0].text().length;
  };
  const [one, two, three] = [1, 2, 3].map(lengthOf);
  expect(three - two).toBe(two - one);
});

/** Compares millions of elements faster than `expectClose` names them. */
function firstWrong(got: HostArray, want: (i: number) => number): number {
  for (let i = 0; i < got.length; i++) if (got[i] !== want(i)) return i;
  return -1;
}

describeEachBackend((backend) => {
  test('grids longer than 65,535 workgroups are folded: 5,000,000 elements, one a lane', async () => {
    const columns = 1999;
    const rows = Float32Array.from({ length: 2502 }, (_, i) => i);
    const copied = await readOnce(() => broadcastTo(tensor(backend(), rows, [2502, 1]), [2502, columns]));
    expect(firstWrong(copied.data, (i) => Math.floor(i / columns))).toBe(-1);
  });
}, deviceBackends);

describeEachBackend(
  (backend) => {
    test('a pointwise op of 17,000,000 elements reaches every one', async () => {
      const n = 17_000_000;
      const y = scope(() =>
        addScaled(
          tensor(backend(), [1], [1]),
          tensor(
            backend(),
            Float32Array.from({ length: n }, (_, i) => i % 4093),
            [n],
          ),
          2,
        ),
      );
      expect(firstWrong(await y.data(), (i) => 2 * (i % 4093) + 1)).toBe(-1);
      y.dispose();
    });
  },
  deviceBackends.filter(({ label }) => label === '[webgpu]'),
);
