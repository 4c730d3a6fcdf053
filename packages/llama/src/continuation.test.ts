import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ContinuationOptions, newContinuation } from './continuation.ts';
import { penalized } from './penalties.ts';
import { chiSquaredDeviation } from './testing/chi-squared.ts';
import { tableLogits } from './testing/table-model.ts';

const vocabulary = 12;
const prompt = [3, 3, 5, 1];
const logitsAfter = (ids: readonly number[]) =>
  tableLogits({ seed: 77, vocabulary, scale: 1.5 }, [...prompt, ...ids]);

type Options = Omit<ContinuationOptions, 'maxNewTokens'>;

/** The probability of each next token, as the options are defined, one after the other. */
function probabilities(ids: readonly number[], options: Options): Map<number, number> {
  const { temperature = 1, topK = vocabulary, topP = 1, minP = 0 } = options;
  const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0, logitBias = new Map() } = options;
  const scores = [...logitsAfter(ids)].map((logit, id) => {
    let score = logit + (logitBias.get(id) ?? 0);
    if (prompt.includes(id) || ids.includes(id))
      score = score > 0 ? score / repetitionPenalty : score * repetitionPenalty;
    const times = ids.filter((other) => other === id).length;
    return (score - frequencyPenalty * times - (times > 0 ? presencePenalty : 0)) / temperature;
  });
  const softmax = (kept: readonly number[]): [number, number][] => {
    const total = kept.reduce((sum, id) => sum + Math.exp(scores[id]), 0);
    return kept.map((id) => [id, Math.exp(scores[id]) / total]);
  };
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
  let left = softmax(order.slice(0, topK));
  let before = 0;
  const nucleus = left.filter(([, p]) => {
    const isIn = before < topP;
    before += p;
    return isIn;
  });
  left = softmax(nucleus.map(([id]) => id));
  const top = left[0][1];
  return new Map(softmax(left.filter(([, p]) => p >= minP * top).map(([id]) => id)));
}

describe('tokens come as often as their probabilities say', () => {
  const draws = process.env.FLEX_LONG_TESTS === '1' ? 100_000 : 4000;
  test.each<Options>([
    { temperature: 1 },
    { temperature: 0.4 },
    { temperature: 3 },
    { temperature: 1, topK: 1 },
    { temperature: 1.3, topK: 5 },
    { temperature: 1, topP: 0.55 },
    { temperature: 2, topP: 0.9 },
    { temperature: 1, minP: 0.1 },
    { temperature: 1.5, minP: 0.4 },
    { temperature: 1.2, topK: 7, topP: 0.8, minP: 0.05 },
    { temperature: 1, repetitionPenalty: 1.8 },
    { temperature: 1, repetitionPenalty: 0.5 },
    { temperature: 1, frequencyPenalty: 1.1 },
    { temperature: 1, presencePenalty: -1.3 },
    {
      temperature: 1,
      logitBias: new Map([
        [0, 2],
        [5, -100],
      ]),
    },
    {
      ...{ temperature: 0.8, topK: 9, topP: 0.95, minP: 0.02, repetitionPenalty: 1.2 },
      ...{ frequencyPenalty: 0.3, presencePenalty: 0.4, logitBias: new Map([[2, 1.5]]) },
    },
  ])('%j', (options) => {
    const first = new Map<number, number>();
    /** What follows the commonest first token, twice itself and so penalized. */
    const third = new Map<number, number>();
    const start = [4, 4];
    const [firstLogits, forcing, thirdLogits] = [logitsAfter([]), certain(4), logitsAfter(start)];
    for (let seed = 0; seed < draws; seed++) {
      const count = (counts: Map<number, number>, id: number | null) =>
        counts.set(id!, (counts.get(id!) ?? 0) + 1);
      const text = newContinuation([], prompt, { ...options, seed, maxNewTokens: 100 });
      count(first, text.next(firstLogits));
      const forced = newContinuation([], prompt, { ...options, seed, maxNewTokens: 100 });
      for (const _ of start) forced.next(forcing);
      count(third, forced.next(thirdLogits));
    }
    expect(chiSquaredDeviation(first, probabilities([], options))).toBeLessThan(4);
    expect(chiSquaredDeviation(third, probabilities(start, options))).toBeLessThan(4);
  });

  test('and the test would notice shares that are a tenth off', () => {
    const p = probabilities([], { temperature: 1 });
    const off = new Map([...p].map(([id, share]) => [id, share * (id % 2 ? 1.15 : 0.9)]));
    const total = [...off.values()].reduce((a, b) => a + b);
    const wrong = new Map([...off].map(([id, share]) => [id, Math.round((draws * share) / total)]));
    expect(chiSquaredDeviation(wrong, p)).toBeGreaterThan(4);
    expect(chiSquaredDeviation(new Map([[0, 10]]), new Map([[1, 1]]))).toBe(Number.POSITIVE_INFINITY);
  });
});

/** Logits that leave one token, whatever speaks against it. */
function certain(id: number): Float32Array {
  return new Float32Array(vocabulary).fill(-1e30).fill(1e30, id, id + 1);
}

test('penalties that make a score infinite are refused', () => {
  const one = Float32Array.of(-1, 2, 0.5);
  for (const penalties of [
    { repetitionPenalty: 1e-320 },
    { logitBias: new Map([[1, 1e308]]), repetitionPenalty: 0.1 },
    { frequencyPenalty: -1.7e308, presencePenalty: -1.7e308 },
  ])
    expect(() => penalized(one, [1], [1], penalties)).toThrow(
      /^the bias and the penalties are too large: the score of token 1 is Infinity$/,
    );
});

test('without a penalty the logits stay as they are; neither prompt nor text is changed by one', () => {
  const logits = logitsAfter([]);
  expect(penalized(logits, prompt, [1, 2], {})).toBe(logits);
  expect(
    penalized(logits, prompt, [1, 2], { logitBias: new Map(), repetitionPenalty: 1, presencePenalty: 0 }),
  ).toBe(logits);
  const before = [...logits];
  penalized(logits, prompt, [1, 2], {
    repetitionPenalty: 2,
    frequencyPenalty: 1,
    logitBias: new Map([[3, 1]]),
  });
  expect([...logits]).toEqual(before);
});

test('greedy and likeliest agree: top-k 1, a small top-p and min-p 1 draw the likeliest, at any temperature', () => {
  const narrow = fc.constantFrom<Options>({ topK: 1 }, { topP: 1e-9 }, { minP: 1 });
  fc.assert(
    fc.property(
      narrow,
      fc.nat(),
      fc.double({ min: 0.1, max: 9, noNaN: true }),
      (options, seed, temperature) => {
        const all = { ...options, seed, temperature, maxNewTokens: 9, repetitionPenalty: 1.4 };
        const drawn = newContinuation([], prompt, all).next(logitsAfter([]));
        expect(drawn).toBe(newContinuation([], prompt, { ...all, temperature: 0 }).next(logitsAfter([])));
      },
    ),
  );
});
