import { join } from 'node:path';
import { ConfigError, type InputFiles, openInputFiles } from '@flex/base';
import { runKey, type TrainConfig } from '@flex/train';
import { type Arm, armsOf, configOf } from './arms.ts';
import { requireClaims } from './claims.ts';
import { requireHalving } from './halving.ts';
import type { Study } from './load-study.ts';
import { runNameOf } from './manifest.ts';
import { baseModel } from './read-study.ts';
import { holdsStudy, readStudyManifest, studyDigest } from './study-folder.ts';

/** A run of a study. */
export interface PlannedRun {
  /** `ARM/seed-N`: its name, and its folder under `runs`. */
  readonly name: string;
  readonly arm: string;
  readonly seed: number;
  /** `runKey` of its configuration. */
  readonly key: string;
  readonly config: TrainConfig;
}

/** All that a study is to do, known before any of it is done. */
export interface StudyPlan {
  readonly study: Study;
  readonly arms: readonly Arm[];
  readonly runs: readonly PlannedRun[];
  /** Of the runs' keys and the evaluations: what decides the study's results. */
  readonly digest: string;
}

/**
 * The runs of a study: its arms times its seeds. Arms whose runs have the same keys are one, which is a
 * control of all that each of them was one of. An arm that the study's folder has keeps the name that it has
 * there.
 *
 * Throws ConfigError and DataError for what the configurations, models and data have wrong; for two
 * combinations of levels that differ and give the same runs with a penalty; where two arms that differ have
 * one name, where arms have different models or held-out data, where nothing would be measured, and what
 * `requireHalving` throws.
 */
export async function planStudy(study: Study, files: InputFiles = openInputFiles()): Promise<StudyPlan> {
  const drafts = await Promise.all((await armsOf(study)).map((arm) => draftOf(arm, study, files)));
  requireComparable(study, drafts);
  const planned = named(joined(drafts, study), study);
  const arms = planned.map(({ arm }) => arm);
  const runs = planned.flatMap(({ arm, configs, keys }) =>
    study.seeds.map((seed, i): PlannedRun => {
      const name = runNameOf(arm.name, seed);
      const config = { ...configs[i], out: join(study.out, 'runs', name) };
      return { name, arm: arm.name, seed, key: keys[i], config };
    }),
  );
  requireClaims(study, arms);
  const plan = { study, arms, runs, digest: studyDigest({ runs, evaluations: study.evaluations }) };
  await requireHalving(plan);
  return plan;
}

/** An arm with the configurations and the keys of its runs, seed by seed. */
interface Draft {
  readonly arm: Arm;
  readonly configs: readonly TrainConfig[];
  readonly keys: readonly string[];
}

async function draftOf(arm: Arm, study: Study, files: InputFiles): Promise<Draft> {
  const configs = await Promise.all(study.seeds.map((seed) => configOf(study, arm.overrides(seed), seed)));
  return { arm, configs, keys: await Promise.all(configs.map((config) => runKey(config, files))) };
}

/** Throws ConfigError where arms could not be compared. */
function requireComparable({ file, evaluations }: Study, drafts: readonly Draft[]): void {
  const [{ arm: first, configs }] = drafts;
  const [{ model, eval: heldOut }] = configs;
  if (heldOut.length === 0 && evaluations.length === 0) {
    throw new ConfigError(
      `${file}: measures nothing but what it trains on: base has no held-out data (eval), and there are no evaluations`,
    );
  }
  for (const { arm, configs: others } of drafts) {
    const [other] = others;
    const names = `the arms ${first.name} and ${arm.name}`;
    if (other.model !== model)
      throw new ConfigError(`${file}: ${names} have different models; make a study of each`);
    if (JSON.stringify(other.eval) !== JSON.stringify(heldOut)) {
      throw new ConfigError(
        `${file}: ${names} have different held-out data (eval), so nothing could compare them`,
      );
    }
  }
}

/**
 * The drafts with those as one that have the same runs: the first combination of levels among them, else the
 * first.
 */
function joined(drafts: readonly Draft[], { file }: Study): Draft[] {
  const byKeys = new Map<string, Draft[]>();
  const byName = new Map<string, string>();
  for (const draft of drafts) {
    const [name, keys] = [draft.arm.name.toLowerCase(), draft.keys.join()];
    byKeys.set(keys, [...(byKeys.get(keys) ?? []), draft]);
    if (name === baseModel || (byName.get(name) ?? keys) !== keys) {
      const whose = name === baseModel ? 'is what the base model is called' : 'is that of two that differ';
      throw new ConfigError(
        `${file}: the arm's name ${draft.arm.name} ${whose}; name their levels, or shorter`,
      );
    }
    byName.set(name, keys);
  }
  return [...byKeys.values()].map((same) => {
    // A control of an arm before it has that one's levels, and is named by what it is not.
    const first = same.find(({ arm }) => arm.isLevel) ?? same[0];
    const withPenalty = same.filter(({ arm, configs }) => arm.isLevel && configs[0].regularizer.length > 0);
    if (withPenalty.length > 1) {
      const names = withPenalty.map(({ arm }) => arm.name).join(' and ');
      throw new ConfigError(`${file}: the arms ${names} are the same runs; take a level out, or change it`);
    }
    const arm: Arm = {
      ...first.arm,
      aliases: [...new Set(same.map((one) => one.arm.name))].filter((name) => name !== first.arm.name),
      isLevel: same.some((one) => one.arm.isLevel),
      controls: same.flatMap((one) => one.arm.controls),
    };
    return { ...first, arm };
  });
}

/** The drafts, those that the study's folder has under the name that they have there. */
function named(drafts: readonly Draft[], { file, out, seeds }: Study): Draft[] {
  const before = holdsStudy(out)
    ? readStudyManifest(out).runs.filter(({ seed }) => seeds.includes(seed))
    : [];
  const oldNames = [...new Set(before.map(({ arm }) => arm))];
  const isThere = ({ keys }: Draft, name: string) =>
    before.every(({ arm, seed, key }) => arm !== name || key === keys[seeds.indexOf(seed)]);
  const names = new Map<string, string>();
  const taken = new Set<string>();
  const take = ({ arm }: Draft, name: string) => {
    if (taken.has(name.toLowerCase())) {
      throw new ConfigError(
        `${file}: ${out} has another arm ${name}, which stays in it; name the levels otherwise`,
      );
    }
    taken.add(name.toLowerCase());
    for (const own of [arm.name, ...arm.aliases]) names.set(own, name);
  };
  const added = drafts.filter((draft) => {
    const name = oldNames.find((old) => !taken.has(old.toLowerCase()) && isThere(draft, old));
    if (name !== undefined) take(draft, name);
    return name === undefined;
  });
  for (const draft of added) take(draft, draft.arm.name);
  return drafts.map((draft) => {
    const { arm } = draft;
    const name = names.get(arm.name)!;
    const aliases = [arm.name, ...arm.aliases].filter((alias) => alias !== name);
    const controls = arm.controls.map(({ kind, of }) => ({ kind, of: names.get(of)! }));
    return { ...draft, arm: { ...arm, name, aliases, controls } };
  });
}
