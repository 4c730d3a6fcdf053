import fc from 'fast-check';
import { expect, test } from 'vitest';
import { argmax, checkSampling, type SampleOptions, sampleToken } from './sample.ts';

const logits = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 20 });
const draws = fc.double({ min: 0, max: 0.999999, noNaN: true });

test('temperature 0 takes the first of the largest, whatever the draw', () => {
  fc.assert(
    fc.property(logits, draws, (values, draw) => {
      expect(sampleToken(values, { temperature: 0 }, draw)).toBe(values.indexOf(Math.max(...values)));
    }),
  );
  expect(argmax([1, 3, 3])).toBe(1);
});

test('over all draws, each token comes as often as softmax(logits / temperature) says', () => {
  const values = [0.3, -1, 2, 0.3];
  const temperature = 0.7;
  const weights = values.map((v) => Math.exp(v / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  const n = 20_000;
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) counts[sampleToken(values, { temperature }, (i + 0.5) / n)]++;
  for (const [id, count] of counts.entries()) expect(count / n).toBeCloseTo(weights[id] / total, 3);
});

test('top-k keeps the k likeliest and their equals, top-p the fewest that reach p', () => {
  fc.assert(
    fc.property(logits, draws, fc.integer({ min: 1, max: 20 }), (values, draw, topK) => {
      const id = sampleToken(values, { temperature: 1, topK }, draw);
      expect(values.filter((v) => v > values[id]).length).toBeLessThan(topK);
    }),
  );
  const values = [Math.log(0.5), Math.log(0.3), Math.log(0.2)];
  const drawn = (topP: number) =>
    new Set(Array.from({ length: 100 }, (_, i) => sampleToken(values, { temperature: 1, topP }, i / 100)));
  expect(drawn(0.4)).toEqual(new Set([0]));
  expect(drawn(0.6)).toEqual(new Set([0, 1]));
  expect(drawn(1)).toEqual(new Set([0, 1, 2]));
});

test('takes the token of its definition, with ties and zeros of either sign among the logits', () => {
  const tied = fc.array(fc.constantFrom(-2, -1, -0, 0, 0.5, 3), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(
      tied,
      draws,
      fc.integer({ min: 1, max: 12 }),
      fc.double({ min: 0.05, max: 1, noNaN: true }),
      (values, draw, topK, topP) => {
        const all = [...values.keys()].sort((a, b) => values[b] - values[a] || a - b);
        const order = all.filter((id) => values[id] >= values[all[Math.min(topK, all.length) - 1]]);
        const weights = order.map((id) => Math.exp((values[id] - values[order[0]]) / 0.8));
        const sums = weights.map((_, i) => weights.slice(0, i + 1).reduce((a, b) => a + b));
        const kept = sums.findIndex((sum) => sum >= topP * sums.at(-1)!) + 1;
        const id = sampleToken(values, { temperature: 0.8, topK, topP }, draw);
        const place = order.indexOf(id);
        expect(place).toBeLessThan(kept);
        const [below, above] = [sums[place] - weights[place], sums[place]].map((sum) => sum / sums[kept - 1]);
        expect(draw).toBeGreaterThan(below - 1e-12);
        expect(draw).toBeLessThan(above + 1e-12);
      },
    ),
    { numRuns: 1000 },
  );
});

test.each([
  [{ temperature: -1 }, 'temperature'],
  [{ temperature: 1, topK: 0 }, 'top-k'],
  [{ temperature: 1, topP: 0 }, 'top-p'],
  [{ temperature: 1, topP: 1.5 }, 'top-p'],
])('%j is refused', (options, name) => {
  expect(() => checkSampling(options)).toThrow(name);
});

test('min-p 1 keeps all of the likeliest, and top-k what is as likely as the last of the k', () => {
  const drawn = (options: Partial<SampleOptions>) =>
    new Set(
      Array.from({ length: 100 }, (_, i) =>
        sampleToken([0, 2, 1, 2, 1], { temperature: 1, ...options }, i / 100),
      ),
    );
  expect(drawn({ minP: 1 })).toEqual(new Set([1, 3]));
  expect(drawn({ topK: 1 })).toEqual(new Set([1, 3]));
  expect(drawn({ topK: 3 })).toEqual(new Set([1, 3, 2, 4]));
});
