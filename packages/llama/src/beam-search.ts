import { ConfigError } from '@flex/base';
import { uniform } from '@flex/tensor';
import { type ContinuationOptions, sampleStream } from './continuation.ts';
import { finiteLogits } from './finite-logits.ts';
import { logSoftmax, type ScoredToken, scoredToken } from './log-probabilities.ts';
import { penalized } from './penalties.ts';
import { warpedScores } from './sample.ts';
import type { Slots } from './slots.ts';
import { topIndices } from './top-indices.ts';

/** How many beams there are, and which is the best. */
export interface BeamOptions {
  /** Continuations that are followed at a time. */
  readonly numBeams: number;
  /** A finished beam counts by Σ ln p / length^penalty: above 0 favours long ones. 1 if left out. */
  readonly lengthPenalty?: number;
  /**
   * When the search ends, once as many beams as there are have finished: true, at once; false, which is the
   * default, when the best running beam at its present length does not beat the worst of them; never, when it
   * could not at any length.
   */
  readonly earlyStopping?: boolean | 'never';
}

export interface BeamSearchOptions extends BeamOptions, ContinuationOptions {
  readonly eosIds: readonly number[];
}

/** A continuation of the prompt. */
export interface Beam {
  readonly ids: readonly number[];
  /**
   * Σ ln p of its tokens, as penalties and sampling left them; of a finished beam with the length penalty.
   */
  readonly score: number;
  /** Of each token, where they were asked for. */
  readonly logprobs: readonly ScoredToken[];
}

/** A running beam and a token after it. */
interface Candidate extends Beam {
  readonly from: number;
}

/** Throws ConfigError for options out of range. */
export function checkBeams({ numBeams, lengthPenalty = 1 }: BeamOptions): void {
  if (!(Number.isSafeInteger(numBeams) && numBeams >= 1))
    throw new ConfigError(`num-beams must be a whole number of at least 1, got ${numBeams}`);
  if (!Number.isFinite(lengthPenalty))
    throw new ConfigError(`length-penalty must be a number, got ${lengthPenalty}`);
}

/**
 * The best completion by beam search in as many slots as beams, as transformers' `generate` defines it: each
 * step takes the best (1 + number of end ids)·beams continuations; those of them among the first `beams` that
 * end, by an end id, a stop text or the length, are finished; the best others run on. Above temperature 0,
 * continuations are drawn without replacement from softmax of the scores of all, in place of the best, after
 * temperature, top-k, top-p and min-p in each beam (beam sampling). Penalties and these work on
 * log-probabilities. Throws Error at the first logit that is not finite, and ConfigError where penalties or
 * the temperature make scores of which none is.
 */
export async function beamSearch(
  slots: Pick<Slots, 'fill' | 'step' | 'reorder'>,
  prompt: readonly number[],
  options: BeamSearchOptions,
): Promise<Beam> {
  const { maxNewTokens, numBeams, lengthPenalty = 1, earlyStopping = false } = options;
  const ends = endOf(options);
  let running: readonly Beam[] = [{ ids: [], score: 0, logprobs: [] }];
  let finished: readonly Beam[] = [];
  let rows = [await slots.fill(0, prompt)];
  for (let length = 1; length <= maxNewTokens; length++) {
    const candidates = continuations(running, rows, prompt, options).map((beam) => ({
      beam,
      end: ends(beam),
    }));
    const ended = candidates.slice(0, numBeams).filter(({ end }) => end);
    const penalty = length ** lengthPenalty;
    finished = [...finished, ...ended.map(({ beam }) => ({ ...beam, score: beam.score / penalty }))]
      .sort(byScore)
      .slice(0, numBeams);
    const next = candidates
      .filter(({ end }) => !end)
      .map(({ beam }) => beam)
      .sort(byScore)
      .slice(0, numBeams);
    if (next.length === 0) break;
    if (finished.length === numBeams) {
      const longest = earlyStopping === 'never' && lengthPenalty > 0 ? maxNewTokens : length;
      const hope = next[0].score / longest ** lengthPenalty;
      if (earlyStopping === true || hope <= finished[numBeams - 1].score) break;
    }
    slots.reorder(next.map(({ from }) => from));
    rows = [
      ...(await slots.step(new Map(next.map(({ ids }, slot) => [slot, ids[ids.length - 1]])))).values(),
    ];
    running = next;
  }
  return finished[0];
}

const byScore = (a: Beam, b: Beam): number => b.score - a.score;

/** Whether a beam ends with its last token. */
function endOf({ maxNewTokens, eosIds, stop = [], tokenizer }: BeamSearchOptions): (beam: Beam) => boolean {
  const stops = stop.filter((text) => text !== '');
  const isStopped = (ids: readonly number[]): boolean => {
    if (stops.length === 0) return false;
    const text = tokenizer!.decode(ids, { continuation: true });
    return stops.some((stop) => text.includes(stop));
  };
  return ({ ids }) => ids.length === maxNewTokens || eosIds.includes(ids[ids.length - 1]) || isStopped(ids);
}

/**
 * The best continuations of all running beams by one token, best first, ties going to the earlier beam and
 * id; or drawn ones, in the order of their drawing.
 */
function continuations(
  running: readonly Beam[],
  rows: readonly Float32Array[],
  prompt: readonly number[],
  options: BeamSearchOptions,
): Candidate[] {
  const { numBeams, eosIds, temperature = 0, seed = 0, logprobs: alternatives } = options;
  const count = Math.max(2, 1 + eosIds.length) * numBeams;
  const [{ ids }] = running;
  const logprobs = rows.map((row) => logSoftmax(finiteLogits(row, `at new token ${ids.length + 1}`)));
  const scores = running.map((beam, from) => {
    const own = Float64Array.from(penalized(logprobs[from], prompt, beam.ids, options));
    const warped =
      temperature === 0
        ? own
        : warpedScores(own, { ...options, temperature }, Math.max(2, 1 + eosIds.length));
    return warped.map((score) => beam.score + score);
  });
  const draws = () => uniform(count, { key: [seed, sampleStream], counter: [ids.length + 1, 0] });
  const chosen = temperature === 0 ? best(scores, count) : drawn(scores, draws());
  return chosen.map(({ from, id }) => ({
    from,
    ids: [...running[from].ids, id],
    score: scores[from][id],
    logprobs:
      alternatives === undefined
        ? []
        : [...running[from].logprobs, scoredToken(logprobs[from], id, alternatives)],
  }));
}

/** A token of a row of scores. */
interface Place {
  readonly from: number;
  readonly id: number;
}

function best(scores: readonly Float64Array[], count: number): Place[] {
  const all = scores.flatMap((row, from) => topIndices(row, count).map((id) => ({ from, id })));
  return all.sort((a, b) => scores[b.from][b.id] - scores[a.from][a.id]).slice(0, count);
}

/**
 * Places drawn one after the other, each with the probability that softmax of all scores gives it among those
 * that are left; fewer than draws where no others have a probability above 0.
 */
function drawn(scores: readonly Float64Array[], draws: ArrayLike<number>): Place[] {
  const top = Math.max(...scores.map((row) => row.reduce((a, b) => Math.max(a, b))));
  if (!Number.isFinite(top))
    throw new ConfigError('the temperature is too small to draw beams: no score is finite');
  const v = scores[0].length;
  const weights = new Float64Array(scores.length * v);
  for (const [from, row] of scores.entries())
    for (let id = 0; id < v; id++) weights[from * v + id] = Math.exp(row[id] - top);
  const places: Place[] = [];
  for (let i = 0; i < draws.length; i++) {
    let left = draws[i] * weights.reduce((a, b) => a + b, 0);
    let at = -1;
    for (let j = 0; j < weights.length && left >= 0; j++) {
      if (weights[j] === 0) continue;
      at = j;
      left -= weights[j];
    }
    if (at < 0) break;
    weights[at] = 0;
    places.push({ from: Math.floor(at / v), id: at % v });
  }
  return places;
}
