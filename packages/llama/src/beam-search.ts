import type { Decoder } from './decoder.ts';
import { finiteLogits } from './finite-logits.ts';

export interface BeamOptions {
  readonly maxNewTokens: number;
  readonly numBeams: number;
  readonly eosIds: readonly number[];
}

interface Beam {
  readonly ids: readonly number[];
  /** Σ ln p of its tokens; of a finished beam divided by their number (length penalty 1). */
  readonly score: number;
}

interface Candidate extends Beam {
  /** The running beam it continues. */
  readonly from: number;
}

/**
 * The best completion by beam search, as transformers' `generate` defines it with length penalty 1 and no
 * early stopping: each step takes the best (1 + number of end ids)·beams continuations; those of them among
 * the first `beams` that end are finished; the best others run on, until no running beam, at its length,
 * beats the worst of `beams` finished ones, or the length is reached. Throws Error at the first logit that is
 * not finite.
 */
export async function beamSearch(
  decoder: Decoder,
  prompt: readonly number[],
  { maxNewTokens, numBeams, eosIds }: BeamOptions,
): Promise<readonly number[]> {
  const width = Math.max(2, 1 + eosIds.length) * numBeams;
  let running: readonly Beam[] = [{ ids: [], score: 0 }];
  let finished: readonly Beam[] = [];
  let state = await decoder.start(prompt);
  try {
    for (let length = 1; length <= maxNewTokens; length++) {
      const ends = ({ ids }: Beam) => length === maxNewTokens || eosIds.includes(ids[ids.length - 1]);
      const candidates = bestContinuations(running, state.rows, width);
      const ended = candidates.slice(0, numBeams).filter(ends);
      finished = [...finished, ...ended.map(({ ids, score }) => ({ ids, score: score / length }))]
        .sort((a, b) => b.score - a.score)
        .slice(0, numBeams);
      const next = candidates.filter((c) => !ends(c)).slice(0, numBeams);
      if (next.length === 0) break;
      const worst = finished.length === numBeams ? finished[numBeams - 1].score : Number.NEGATIVE_INFINITY;
      if (next[0].score / length <= worst) break;
      state = await decoder.step(
        state,
        next.map((c) => c.ids[c.ids.length - 1]),
        next.map((c) => c.from),
      );
      running = next;
    }
  } finally {
    decoder.free(state);
  }
  return finished[0].ids;
}

/**
 * The best `count` of all running beams continued by one token, best first; ties go to the earlier beam and
 * id.
 */
function bestContinuations(
  running: readonly Beam[],
  rows: readonly Float32Array[],
  count: number,
): Candidate[] {
  const all = running.flatMap((beam, from) => {
    const logProbs = logSoftmax(finiteLogits(rows[from], `at new token ${beam.ids.length + 1}`));
    return topIndices(logProbs, count).map((id) => ({ from, id, score: beam.score + logProbs[id] }));
  });
  return all
    .sort((a, b) => b.score - a.score || a.from - b.from || a.id - b.id)
    .slice(0, count)
    .map(({ from, id, score }) => ({ from, score, ids: [...running[from].ids, id] }));
}

function logSoftmax(logits: Float32Array): Float64Array {
  let top = Number.NEGATIVE_INFINITY;
  for (const x of logits) top = Math.max(top, x);
  let total = 0;
  for (const x of logits) total += Math.exp(x - top);
  const shift = top + Math.log(total);
  return Float64Array.from(logits, (x) => x - shift);
}

/** The indices of the largest `count` numbers, in no particular order. */
function topIndices(values: Float64Array, count: number): number[] {
  return [...values.keys()].sort((a, b) => values[b] - values[a] || a - b).slice(0, count);
}
