import { ConfigError, unknownName } from '@flex/base';
import { planRun } from '@flex/train';
import { searchFactor } from './levels.ts';
import type { StudyManifest } from './manifest.ts';
import type { StudyPlan } from './plan-study.ts';
import type { RunRecord, StudyRecord } from './read-study.ts';

/** What was decided after so many updates. */
export interface Rung {
  readonly updates: number;
  /** The trials that were left, those of one combination of the other levels together, the best first. */
  readonly groups: readonly (readonly RungArm[])[];
}

/** An arm at a rung. */
export interface RungArm {
  readonly arm: string;
  /**
   * Mean over seeds on the set that decides, nats a token; null where a run failed before, which is the
   * worst.
   */
  readonly loss: number | null;
  readonly isKept: boolean;
}

/** Successive halving, as far as it is. */
export interface HalvingState {
  /** Those that are decided, in order. */
  readonly rungs: readonly Rung[];
  /** The runs that are to come so far before the next one is decided; null where all are. */
  readonly next: { readonly updates: number; readonly runs: readonly string[] } | null;
  /** Arms whose runs do not go on: trials that were dropped, and controls of none but such. */
  readonly dropped: ReadonlySet<string>;
}

type Halved = Pick<StudyRecord, 'arms'> & {
  readonly manifest: Pick<StudyManifest, 'halving'>;
  readonly runs: readonly HalvedRun[];
};
type HalvedRun = Pick<RunRecord, 'name' | 'arm' | 'summary' | 'failure' | 'heldOut'>;

/**
 * How the trials of a study were halved; null where they are not. A function of the held-out losses in its
 * folder, whenever they were made.
 *
 * At a rung all seeds of a trial have made so many of their updates, with the learning rates of the whole
 * run, and ⌈keep·n⌉ of n trials go on: those with the lowest mean over seeds of the loss that `by` names,
 * among the trials of one combination of the other levels, so that all combinations are tuned alike. A trial
 * of which a run failed does not go on. Controls begin behind the last rung; a trial that is itself a control
 * of one that is left goes on with it.
 */
export function halvingOf({ manifest: { halving }, arms, runs }: Halved): HalvingState | null {
  if (halving === null) return null;
  const rungs: Rung[] = [];
  let left = arms.filter(({ isLevel }) => isLevel);
  const dropped = () => {
    const goOn = new Set(left.map(({ name }) => name));
    const gone = arms.filter(
      ({ name, controls }) => !goOn.has(name) && !controls.some(({ of }) => goOn.has(of)),
    );
    return new Set(gone.map(({ name }) => name));
  };
  for (const updates of halving.rungs) {
    const at = runs
      .filter(({ arm }) => left.some(({ name }) => name === arm))
      .map((run) => ({ ...run, loss: lossAt(run, halving.by, updates) }));
    const waiting = at.filter(({ loss, failure }) => loss === null && failure === null);
    if (waiting.length > 0)
      return { rungs, next: { updates, runs: waiting.map(({ name }) => name) }, dropped: dropped() };
    const groups = new Map<string, RungArm[]>();
    for (const { name, levels } of left) {
      const { [searchFactor]: _, ...others } = levels;
      const key = JSON.stringify(others);
      const losses = at.filter(({ arm }) => arm === name).map(({ loss }) => loss);
      const own = { arm: name, loss: meanOf(losses), isKept: false };
      groups.set(key, [...(groups.get(key) ?? []), own]);
    }
    const decided = [...groups.values()].map((group) =>
      group
        .toSorted((a, b) => (a.loss ?? Infinity) - (b.loss ?? Infinity))
        .map((one, i) => ({ ...one, isKept: i < halving.keep * group.length && one.loss !== null })),
    );
    rungs.push({ updates, groups: decided });
    const kept = new Set(decided.flat().flatMap(({ arm, isKept }) => (isKept ? [arm] : [])));
    left = left.filter(({ name }) => kept.has(name));
  }
  return { rungs, next: null, dropped: dropped() };
}

/** The last loss up to a rung of a run that came so far, or that ended before; null of another. */
function lossAt({ summary, heldOut }: HalvedRun, by: string, updates: number): number | null {
  const lines = heldOut().filter(({ set, step }) => set === by && step > 0);
  const isThere = summary?.status === 'done' || lines.some(({ step }) => step >= updates);
  return isThere ? (lines.findLast(({ step }) => step <= updates)?.loss ?? null) : null;
}

function meanOf(losses: readonly (number | null)[]): number | null {
  const known = losses.filter((loss) => loss !== null);
  return known.length < losses.length ? null : known.reduce((sum, loss) => sum + loss, 0) / known.length;
}

/** What was decided at a rung, a line for each combination of the other levels. */
export function describeRung({ updates, groups }: Rung): string[] {
  return groups.map((group) => {
    const [kept, gone] = [true, false].map((isKept) =>
      group
        .filter((one) => one.isKept === isKept)
        .map(({ arm, loss }) => `${arm} (${loss === null ? 'failed' : loss.toFixed(4)})`),
    );
    return `after ${updates} updates, kept: ${kept.join(', ') || 'none'}; dropped: ${gone.join(', ') || 'none'}`;
  });
}

/**
 * Throws ConfigError where the trials of a plan could not be halved: where the set that decides is not held
 * out, where nothing is measured at a rung, or where trials differ in their data or their number of updates,
 * so that a rung would compare unequal efforts.
 */
export async function requireHalving({ study, arms, runs }: StudyPlan): Promise<void> {
  const { halving = null } = study.search ?? {};
  if (halving === null) return;
  const refused = (key: string, what: string) =>
    new ConfigError(`${study.placeOf(['search', 'halving', key]).where}: search.halving.${key} ${what}`);
  const trials = runs.filter((run) => arms.some(({ name, isLevel }) => isLevel && name === run.arm));
  const effort = ({ config: { data, train } }: (typeof runs)[number]) =>
    JSON.stringify([data, { ...train, seed: null }]);
  const other = trials.find((run) => effort(run) !== effort(trials[0]));
  if (other) {
    const names = `${trials[0].arm} and ${other.arm}`;
    throw refused('rungs', `would compare unequal efforts: ${names} differ in data or train`);
  }
  const [{ config }] = trials;
  const { sets, updates } = await planRun(config);
  const names = sets.slice(1).map(({ name }) => name);
  if (!names.includes(halving.by)) throw refused('by', unknownName(halving.by, names));
  const { evalEvery } = config.train;
  const wrong = halving.rungs.find((rung) => rung >= updates || evalEvery === 0 || rung % evalEvery !== 0);
  if (wrong === undefined) return;
  const rule = `multiples of train.eval_every, ${evalEvery}, below the ${updates} updates of a run`;
  throw refused('rungs', `must be ${rule}, got ${wrong}`);
}
