import { describe, expect, test } from 'vitest';
import type { Backend } from '../backend.ts';
import {
  add,
  cast,
  concat,
  countNonFinite,
  culpritOf,
  donate,
  examine,
  exp,
  log,
  mul,
  nearestName,
  permute,
  reshape,
  rfft,
  scope,
  slice,
  sqrt,
  sub,
  sum,
  type Tensor,
  tensor,
} from '../index.ts';
import { allBackends, describeEachBackend } from '../testing/index.ts';

const backends = allBackends.filter(({ label }) => label !== 'gpu.js cpu');

describeEachBackend((backend: () => Backend) => {
  const of = (data: number[], shape: number[] = [data.length], dtype: 'f32' | 'f16' = 'f32') =>
    tensor(backend(), data, shape, dtype);
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

  test('NaN and infinities are counted by their bits, in f32 and f16, on views and at the edges of pieces', async () => {
    const count = async (t: Tensor) => {
      const numbers = [...(await countNonFinite(t).data())];
      return [0, 1].map((k) => numbers.reduce((total, n, i) => total + (i % 2 === k ? n : 0), 0));
    };
    const data = Array.from({ length: 200 }, () => 1);
    for (const [place, value] of [
      [0, nan],
      [63, inf],
      [64, -inf],
      [127, nan],
      [199, nan],
    ])
      data[place] = value;
    for (const dtype of ['f32', 'f16'] as const) {
      expect(await count(of(data, [200], dtype))).toEqual([3, 2]);
      expect(await count(of([65504, -0, 6e-8, 0], [4], dtype))).toEqual([0, 0]);
    }
    expect(await count(slice(of(data, [2, 100]), [1, 0], [1, 100]))).toEqual([2, 0]);
    expect(await count(of([nan], []))).toEqual([1, 0]);
  });

  /** What made the first number that is not finite: the op, the tensor before it, what it made NaN of. */
  async function blamed(f: (x: Tensor) => Tensor | Tensor[], data = [1, 2, 3, 4]) {
    const x = of(data);
    const { value, originOf } = await examine(backend(), new Map([['x', x]]), () => scope(() => f(x)));
    const culprit = culpritOf([value].flat().map(originOf));
    if (!culprit) return null;
    const { made, of: source } = culprit;
    return [made.op ?? made.name, nearestName(made), source && (source.op ?? source.name)];
  }

  test('the first op that made NaN is blamed, not those that it went through', async () => {
    expect(await blamed((x) => sum(sqrt(add(log(sub(x, 5)), 1))))).toEqual(['log', 'x', null]);
    expect(await blamed((x) => sum(mul(x, 2)))).toBeNull();
    expect(await blamed((x) => [sum(x), sum(sqrt(sub(x, 9))), sum(log(sub(x, 9)))])).toEqual([
      'sqrt',
      'x',
      null,
    ]);
    expect(await blamed((x) => sum(x), [1, nan])).toEqual(['x', 'x', null]);
  });

  test('infinities are blamed for NaN that is made of them, and not where they vanish', async () => {
    const far = (x: Tensor) => exp(mul(mul(x, x), 1e30));
    expect(await blamed((x) => sum(sub(far(x), far(x))))).toEqual(['sub', 'x', 'exp']);
    expect(await blamed((x) => sum(far(x)))).toEqual(['exp', 'x', null]);
    expect(await blamed((x) => sum(exp(sub(0, far(x)))))).toBeNull();
    // An infinity that vanishes elsewhere is not what made this.
    expect(await blamed((x) => add(sum(exp(sub(0, far(x)))), sum(log(sub(0, x)))))).toEqual([
      'log',
      'x',
      null,
    ]);
  });

  test('within composites, behind views, in memory that is taken over, and of what the host wrote', async () => {
    const halves = (x: Tensor) => sum(rfft(reshape(x, [1, 4]), { norm: 'ortho' }));
    expect(await blamed((x) => halves(log(sub(x, 3))))).toEqual(['log', 'x', null]);
    const rows = (x: Tensor) => reshape(concat([log(sub(x, 9)), x], 0), [2, 4]);
    // Of what has NaN in its first row, the second is finite.
    expect(await blamed((x) => sum(slice(rows(x), [1, 0], [1, 4])))).toBeNull();
    expect(await blamed((x) => sum(log(sub(slice(rows(x), [1, 0], [1, 4]), 9))))).toEqual(['log', 'x', null]);
    expect(await blamed((x) => sum(permute(rows(x), [1, 0])))).toEqual(['log', 'x', null]);
    const below = (x: Tensor) => reshape(concat([log(sub(x, 9)), sub(x, 9)], 0), [2, 4]);
    expect(await blamed((x) => sum(sqrt(slice(below(x), [1, 0], [1, 4]))))).toEqual(['sqrt', 'x', null]);
    const inPlace = (x: Tensor) => {
      const y = mul(x, 1);
      return sum(add(log(donate(sub(y, 9))), 1));
    };
    expect(await blamed(inPlace)).toEqual(['log', 'x', null]);
    expect(await blamed((x) => sum(add(x, of([0, nan, 0, 0]))))).toEqual([null, null, null]);
    // What the host wrote lies where NaN was before.
    const again = (x: Tensor) => {
      const gone = scope(() => log(sub(x, 9)));
      gone.dispose();
      return sum(sqrt(of([-1, -2, -3, -4])));
    };
    expect(await blamed(again)).toEqual(['sqrt', null, null]);
  });

  test('nothing stays behind: memory, and a backend that looks at nothing more', async () => {
    const x = of([1, 2]);
    const { run, write } = backend();
    const { liveBytes } = backend().stats;
    const { value } = await examine(backend(), new Map([['x', x]]), () => scope(() => log(sub(x, 9))));
    value.dispose();
    expect(backend().stats.liveBytes).toBe(liveBytes);
    const failing = () => {
      throw new Error('f');
    };
    await expect(examine(backend(), new Map(), failing)).rejects.toThrow('f');
    expect([backend().run, backend().write]).toEqual([run, write]);
  });
}, backends);

describe('on a device', () => {
  describeEachBackend(
    (backend: () => Backend) => {
      test('a cast to f16 is blamed for what is beyond it', async () => {
        const x = tensor(backend(), [1, 70000], [2]);
        const f = () => scope(() => sum(cast(cast(x, 'f16'), 'f32')));
        const { value, originOf } = await examine(backend(), new Map(), f);
        expect(culpritOf([originOf(value)])?.made).toMatchObject({
          op: 'cast',
          spec: { shape: [2], dtype: 'f16' },
          nan: 0,
          infinite: 1,
        });
      });
    },
    backends.filter(({ label }) => label !== 'reference'),
  );
});
