import { expect, test } from 'vitest';
import { tensor, withRecorder } from '../tensor.ts';
import { describeEachBackend } from '../testing/index.ts';
import { categorical } from './categorical.ts';
import { slice } from './slice-pad.ts';

const probabilities = [0.5, 0.3, 0.15, 0.05, 1e-9];
const rows = 8000;

describeEachBackend((backend) => {
  const logits = () => {
    const row = probabilities.map((p) => Math.log(p) + 3);
    return tensor(backend(), Array.from({ length: rows }, () => row).flat(), [rows, row.length]);
  };
  const draw = async (key: [number, number], counter?: [number, number]) =>
    Array.from(await categorical(logits(), { key, counter }).data());

  test('draws each class as often as softmax says', async () => {
    const drawn = await draw([1, 2]);
    // χ² with 3 degrees of freedom: over 30 in one of 10⁶ seeds; a class off by a tenth of 0.3 gives 40.
    const expected = probabilities.slice(0, 4).map((p) => p * rows);
    const counts = expected.map((_, label) => drawn.filter((x) => x === label).length);
    expect(counts.reduce((total, count) => total + count, 0)).toBe(rows);
    const chi2 = counts.reduce((total, count, i) => total + (count - expected[i]) ** 2 / expected[i], 0);
    expect(chi2).toBeLessThan(30);
  });

  test('draws the same of the same key and counter, and apart of others', async () => {
    const first = await draw([1, 2], [5, 6]);
    expect(await draw([1, 2], [5, 6])).toEqual(first);
    for (const other of [await draw([1, 3], [5, 6]), await draw([1, 2], [6, 6])]) {
      // Two independent draws agree in Σ p² of the rows: 0.365, six deviations are 0.032.
      const agreeing = other.filter((x, i) => x === first[i]).length / rows;
      expect(Math.abs(agreeing - 0.365)).toBeLessThan(0.033);
    }
  });

  test('draws rows in pieces as it draws them whole', async () => {
    const options = { key: [1, 2], counter: [3, 4] } as const;
    const whole = Array.from(await categorical(logits(), options).data());
    const firstRow = 7996;
    const end = slice(logits(), [firstRow, 0], [4, probabilities.length]);
    expect(Array.from(await categorical(end, { ...options, firstRow }).data())).toEqual(
      whole.slice(firstRow),
    );
    expect(() => categorical(end, { ...options, firstRow: 1 })).toThrow(
      'a piece of a draw must begin at a multiple of 4 elements, got 5',
    );
  });

  test('draws no class from a row with a number that is none, and −∞ never', async () => {
    const { NaN: nan, POSITIVE_INFINITY: infinite } = Number;
    const x = tensor(backend(), [1, nan, 3, infinite, 0, 0, -infinite, 5, -infinite], [3, 3]);
    expect(Array.from(await categorical(x, { key: [1, 2] }).data())).toEqual([3, 3, 1]);
  });

  test('is a constant to whoever records, and leaves its labels alone in memory', () => {
    const x = logits();
    const live = backend().stats.liveBytes;
    const seen: string[] = [];
    const labels = withRecorder({ record: ({ name }) => seen.push(name) }, () =>
      categorical(x, { key: [0, 0] }),
    );
    expect(seen).toEqual([]);
    expect(labels.shape).toEqual([rows]);
    labels.dispose();
    expect(backend().stats.liveBytes).toBe(live);
  });
});
