import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Beam, type BeamSearchOptions, beamSearch } from './beam-search.ts';
import { logSoftmax } from './log-probabilities.ts';
import { penalized } from './penalties.ts';
import { sampleToken, warpedScores } from './sample.ts';
import { chiSquaredDeviation } from './testing/chi-squared.ts';
import { letters } from './testing/letters.ts';
import { tableLogits, tableSlots } from './testing/table-model.ts';

interface TableCase {
  readonly seed: number;
  readonly vocabulary: number;
  readonly prompt: readonly number[];
  readonly beams: number;
  readonly eos: readonly number[];
  readonly options: Options;
}

/** transformers' names. */
interface Options {
  readonly temperature?: number;
  readonly top_k?: number;
  readonly top_p?: number;
  readonly min_p?: number;
  readonly repetition_penalty?: number;
  readonly sequence_bias?: readonly (readonly [readonly [number], number])[];
  readonly length_penalty?: number;
  readonly early_stopping?: true | 'never';
}

interface Cases {
  readonly scores: readonly (TableCase & { ties: boolean; scores: readonly (number | null)[] })[];
  readonly beams: readonly (TableCase & {
    length: number;
    stop: readonly number[] | null;
    ids: number[];
    score: number;
  })[];
  readonly sampledBeams: readonly { seed: number; options: Options; counts: Record<string, number> }[];
}

// Made by fixtures/decoding/make.py.
const path = join(import.meta.dirname, '../../../fixtures/decoding/cases.json');
const cases: Cases = JSON.parse(readFileSync(path, 'utf8'));

const ours = (options: Options) => ({
  temperature: options.temperature ?? 0,
  topK: options.top_k,
  topP: options.top_p,
  minP: options.min_p,
  repetitionPenalty: options.repetition_penalty,
  logitBias: new Map(options.sequence_bias?.map(([[id], bias]) => [id, bias])),
  lengthPenalty: options.length_penalty,
  earlyStopping: options.early_stopping,
});

/** As Python rounds: halves to even. */
function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

describe("scores are those of transformers' processors, in their order", () => {
  test.each(cases.scores.map((each, i) => ({ i, ...each })))('$i: $options', (each) => {
    const options = ours(each.options);
    const logits = tableLogits(each, each.prompt).map((x) => (each.ties ? roundHalfEven(x) : x));
    const raw = each.beams > 1 ? logSoftmax(logits) : logits;
    const scores = Float64Array.from(penalized(raw, each.prompt, [], options));
    const atLeast = each.beams > 1 ? Math.max(2, each.eos.length + 1) : 1;
    const warped = [...warpedScores(scores, options, atLeast)];
    expect(warped.map((x) => (x === Number.NEGATIVE_INFINITY ? null : 0))).toEqual(
      each.scores.map((x) => (x === null ? null : 0)),
    );
    for (const [id, x] of warped.entries()) if (x !== -Infinity) expect(x).toBeCloseTo(each.scores[id]!, 3);
    if (each.beams > 1) return;
    // Each token that is left has its share of the draws.
    const n = 2000;
    const counts = warped.map(() => 0);
    for (let i = 0; i < n; i++) counts[sampleToken(scores, options, (i + 0.5) / n)]++;
    const total = warped.reduce((sum, x) => sum + Math.exp(x), 0);
    for (const [id, x] of warped.entries())
      expect(Math.abs(counts[id] - (n * Math.exp(x)) / total)).toBeLessThan(2);
  });
});

describe("beams are those of transformers' generate", () => {
  const searched = ({ prompt, beams, eos, options, ...each }: Cases['beams'][number]) => {
    const model = (ids: readonly number[]) => tableLogits(each, ids);
    return beamSearch(tableSlots(model), prompt, {
      ...ours(options),
      numBeams: beams,
      maxNewTokens: each.length,
      eosIds: eos,
      stop: each.stop ? [letters.decode(each.stop)] : [],
      tokenizer: letters,
    });
  };
  test.each(cases.beams.map((each, i) => ({ i, ...each })))('$i: $beams beams, $options', async (each) => {
    const { ids, score } = await searched(each);
    expect(ids).toEqual(each.ids);
    expect(score).toBeCloseTo(each.score, 3);
  });
});

describe('beams are drawn as transformers draws them, and as probability says', () => {
  const draws = process.env.FLEX_LONG_TESTS === '1' ? 40_000 : 3000;
  test.each(cases.sampledBeams)('$options', async ({ seed, options, counts }) => {
    const model = (ids: readonly number[]) => tableLogits({ seed, vocabulary: 3, scale: 0.8 }, ids);
    const search = { ...ours(options), numBeams: 2, maxNewTokens: 3, eosIds: [1] };
    search.temperature ||= 1;
    const exact = distributionOf(model, [0], search);
    expect([...exact.values()].reduce((a, b) => a + b)).toBeCloseTo(1, 9);
    expect(chiSquaredDeviation(new Map(Object.entries(counts)), exact)).toBeLessThan(4);
    const own = new Map<string, number>();
    for (let run = 0; run < draws; run++) {
      const { ids } = await beamSearch(tableSlots(model), [0], { ...search, seed: run });
      own.set(ids.join(), (own.get(ids.join()) ?? 0) + 1);
    }
    expect(chiSquaredDeviation(own, exact)).toBeLessThan(4);
  });
});

type Text = Pick<Beam, 'ids' | 'score'>;
interface State {
  readonly running: readonly Text[];
  readonly finished: readonly Text[];
}

/** The probability of each text that beam sampling may end with, over all orders of all draws. */
function distributionOf(
  model: (ids: readonly number[]) => Float32Array,
  prompt: readonly number[],
  options: BeamSearchOptions,
): Map<string, number> {
  const { numBeams, maxNewTokens, eosIds, lengthPenalty = 1, temperature = 1 } = options;
  const results = new Map<string, number>();
  const end = (finished: readonly Text[], p: number) => {
    const [{ ids }] = finished;
    results.set(ids.join(), (results.get(ids.join()) ?? 0) + p);
  };
  const sorted = (texts: readonly Text[]) => [...texts].sort((a, b) => b.score - a.score).slice(0, numBeams);
  let states = new Map<string, { state: State; p: number }>();
  states.set('', { state: { running: [{ ids: [], score: 0 }], finished: [] }, p: 1 });
  for (let length = 1; length <= maxNewTokens; length++) {
    const next: typeof states = new Map();
    for (const { state, p } of states.values()) {
      const all = state.running.flatMap(({ ids, score }) => {
        const logprobs = penalized(logSoftmax(model([...prompt, ...ids])), prompt, ids, options);
        const warped = warpedScores(Float64Array.from(logprobs), { ...options, temperature }, 2);
        return [...warped]
          .map((x, id) => ({ ids: [...ids, id], score: score + x }))
          .filter(({ score }) => score > -Infinity);
      });
      for (const { drawn, share } of ordersOf(all, 2 * numBeams)) {
        const ends = ({ ids }: Text) => ids.length === maxNewTokens || eosIds.includes(ids.at(-1)!);
        const done = drawn.slice(0, numBeams).filter(ends);
        const finished = sorted([
          ...state.finished,
          ...done.map(({ ids, score }) => ({ ids, score: score / length ** lengthPenalty })),
        ]);
        const running = sorted(drawn.filter((text) => !ends(text)));
        const hopeless =
          finished.length === numBeams &&
          running.length > 0 &&
          running[0].score / length ** lengthPenalty <= finished[numBeams - 1].score;
        if (running.length === 0 || hopeless) {
          end(finished, p * share);
          continue;
        }
        const key = JSON.stringify({ running, finished });
        next.set(key, { state: { running, finished }, p: (next.get(key)?.p ?? 0) + p * share });
      }
    }
    states = next;
  }
  return results;
}

/** All orders in which `count` texts can be drawn without replacement, by softmax of the scores. */
function* ordersOf(
  texts: readonly Text[],
  count: number,
): Generator<{ drawn: readonly Text[]; share: number }> {
  if (count === 0 || texts.length === 0) {
    yield { drawn: [], share: 1 };
    return;
  }
  const total = texts.reduce((sum, { score }) => sum + Math.exp(score), 0);
  for (const text of texts) {
    const others = texts.filter((other) => other !== text);
    for (const { drawn, share } of ordersOf(others, count - 1))
      yield { drawn: [text, ...drawn], share: (share * Math.exp(text.score)) / total };
  }
}
