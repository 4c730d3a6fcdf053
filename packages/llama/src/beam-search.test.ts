import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beamSearch } from './beam-search.ts';
import { tableSlots } from './testing/table-model.ts';

const vocabulary = 3;
const eos = 2;

/** The best completion of all there are, by mean log-probability. */
function exhaustive(logitsOf: (ids: readonly number[]) => number[], length: number): { score: number } {
  let best = { score: Number.NEGATIVE_INFINITY };
  const walk = (ids: readonly number[], score: number): void => {
    if (ids.length > 0 && (ids.at(-1) === eos || ids.length === length)) {
      if (score / ids.length > best.score) best = { score: score / ids.length };
      return;
    }
    const logProbs = logSoftmax(logitsOf([0, ...ids]));
    for (let id = 0; id < vocabulary; id++) walk([...ids, id], score + logProbs[id]);
  };
  walk([], 0);
  return best;
}

function logSoftmax(values: readonly number[]): number[] {
  const single = values.map(Math.fround);
  const total = Math.log(single.reduce((sum, v) => sum + Math.exp(v), 0));
  return single.map((v) => v - total);
}

function scoreOf(ids: readonly number[], logitsOf: (ids: readonly number[]) => number[]): number {
  let score = 0;
  for (const [i, id] of ids.entries()) score += logSoftmax(logitsOf([0, ...ids.slice(0, i)]))[id];
  return score / ids.length;
}

/** Logits that depend on all tokens so far, from a seed. */
const model = (seed: number) => (ids: readonly number[]) =>
  Array.from(
    { length: vocabulary },
    (_, v) => 2 * Math.sin(seed + 12.9 * v + ids.reduce((a, id) => 3.1 * a + id, 1)),
  );

test('with a beam for every prefix it finds the best completion of all, unless its stopping rule ends it first', async () => {
  await fc.assert(
    fc.asyncProperty(fc.double({ min: 0, max: 100, noNaN: true }), async (seed) => {
      // Without an end token no beam finishes early, so the search is over everything.
      const logitsOf = model(seed);
      const { ids } = await beamSearch(tableSlots(logitsOf), [0], {
        maxNewTokens: 4,
        numBeams: 81,
        eosIds: [],
      });
      const everything = (length: number) => {
        let best = Number.NEGATIVE_INFINITY;
        const walk = (prefix: readonly number[]): void => {
          if (prefix.length === length) best = Math.max(best, scoreOf(prefix, logitsOf));
          else for (let id = 0; id < vocabulary; id++) walk([...prefix, id]);
        };
        walk([]);
        return best;
      };
      expect(scoreOf(ids, logitsOf)).toBeCloseTo(everything(4), 9);
    }),
    { numRuns: 25 },
  );
});

test('a beam never beats the best completion there is, and ends at an end token or the length', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.integer({ min: 2, max: 6 }),
      async (seed, numBeams) => {
        const logitsOf = model(seed);
        const { ids } = await beamSearch(tableSlots(logitsOf), [0], {
          maxNewTokens: 5,
          numBeams,
          eosIds: [eos],
        });
        expect(scoreOf(ids, logitsOf)).toBeLessThanOrEqual(exhaustive(logitsOf, 5).score + 1e-9);
        expect(ids.indexOf(eos) === -1 ? ids.length === 5 : ids.indexOf(eos) === ids.length - 1).toBe(true);
      },
    ),
    { numRuns: 50 },
  );
});

test('a temperature at which no score is finite is refused', async () => {
  const options = { maxNewTokens: 2, numBeams: 2, eosIds: [eos], temperature: 1e-310 };
  await expect(beamSearch(tableSlots(model(1)), [0], options)).rejects.toThrow(
    'the temperature is too small to draw beams: no score is finite',
  );
});
