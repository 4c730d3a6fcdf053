import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestJson } from '@flex/base';
import type { Random } from '@flex/eval/testing';
import type { HeldOutLine, RunSummary } from '@flex/train';
import type { ArmRecord } from '../manifest.ts';
import type { JobState, StudyRecord } from '../read-study.ts';
import { runFolderOf, studyDigest } from '../study-folder.ts';

/** A study whose truth is known. */
export interface Simulation {
  readonly seeds: number;
  readonly examples: number;
  /** Each arm's true effect on the loss; the first is the arm, the others are its controls. */
  readonly effects: readonly number[];
  /**
   * Standard deviations, over all of an arm's runs: of its seeds, of what it does to an example, and of the
   * rest.
   */
  readonly spread: { readonly seed: number; readonly example: number; readonly rest: number };
  /** Draws what an arm does to an example, of variance 1; else normal. */
  readonly exampleEffect?: (random: Random) => number;
}

const kinds = ['unpenalized', 'matched-l2', 'permuted-frequencies'] as const;

/**
 * A study of one arm and its controls, one token an example: loss = example + effect + seed + what arm and
 * example do.
 */
export function simulatedStudy(simulation: Simulation, random: Random): StudyRecord {
  const { seeds, examples, effects, spread, exampleEffect = ({ normal }) => normal() } = simulation;
  const difficulty = Array.from({ length: examples }, () => 3 + random.normal());
  const arms = effects.map((_, i): ArmRecord => {
    const controls = i === 0 ? [] : [{ kind: kinds[(i - 1) % kinds.length], of: 'arm' }];
    const name = i === 0 ? 'arm' : `control-${i}`;
    return { name, aliases: [], isLevel: i === 0, controls, levels: {}, keys: {} };
  });
  const losses = effects.map((effect) => {
    const own = difficulty.map((one) => one + effect + spread.example * exampleEffect(random));
    return Array.from({ length: seeds }, () => {
      const ofSeed = spread.seed * random.normal();
      return own.map((one) => one + ofSeed + spread.rest * random.normal());
    });
  });
  return studyOf(
    arms,
    arms.flatMap(({ name }, i) => losses[i].map((own, seed) => ({ arm: name, seed, losses: own }))),
    difficulty,
  );
}

/** A run of one held-out set, `tasks`, with one scored token an example. */
export interface RunLosses {
  readonly arm: string;
  readonly seed: number;
  readonly losses: readonly number[];
  readonly state?: JobState;
}

/** The record of a study with these runs, which began with `before`. */
export function studyOf(
  arms: readonly ArmRecord[],
  runs: readonly RunLosses[],
  before: readonly number[],
): StudyRecord {
  const line = (step: number, losses: readonly number[]): HeldOutLine => ({
    step,
    set: 'tasks',
    loss: losses.reduce((sum, one) => sum + one, 0) / losses.length,
    rows: losses.map((_, i) => String(i)),
    tokens: losses.map(() => 1),
    losses,
  });
  const entries = runs.map(({ arm, seed, losses }) => ({
    name: `${arm}/seed-${seed}`,
    arm,
    seed,
    key: digestJson(madeFrom({ arm, seed, losses })),
  }));
  return {
    folder: '/study',
    manifest: {
      kind: 'flex-study',
      title: null,
      notes: [],
      claims: [],
      halving: null,
      digest: studyDigest({ runs: entries, evaluations: [] }),
      arms,
      runs: entries,
      seeds: [...new Set(runs.map(({ seed }) => seed))],
      off: {},
      evaluations: [],
      model: '/model',
      history: [],
    },
    arms,
    runs: entries.map((entry, i) => {
      const { state = 'done', losses } = runs[i];
      const isDone = state === 'done';
      return {
        ...entry,
        folder: `/study/runs/${entry.name}`,
        state,
        summary: isDone ? ({ status: 'done' } as RunSummary) : null,
        failure: null,
        metrics: () => [],
        heldOut: () => (isDone ? [line(0, before), line(9, losses)] : []),
        results: () => null,
      };
    }),
    base: { state: 'done', failure: null, results: () => null },
  };
}

/** What decides the key of a run. */
const madeFrom = ({ arm, seed, losses }: RunLosses) => ({
  run: `${arm} ${seed}`,
  held_out: losses.map(String).join(),
  options: '',
});

/** Writes as much of a study's folder as tells its held-out losses. */
export function writeStudyRecord(folder: string, { manifest, runs }: StudyRecord): string {
  const write = (name: string, ...lines: readonly object[]) => {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  };
  write('study.json', manifest);
  for (const { name, arm, seed, summary, heldOut } of runs) {
    if (!summary) continue;
    const inRun = (file: string) => join(runFolderOf(name), file);
    const { options, ...digests } = madeFrom({ arm, seed, losses: heldOut().at(-1)!.losses });
    write(inRun('manifest.json'), { kind: 'flex-run', digests, provenance: { options } });
    write(inRun('summary.json'), summary);
    write(inRun('held-out.jsonl'), ...heldOut());
  }
  return folder;
}
