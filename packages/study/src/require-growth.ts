import { ConfigError, digestJson, readWhole } from '@flex/base';
import { plainConfig, type TrainConfig } from '@flex/train';
import { parse } from 'yaml';
import type { StudyManifest } from './manifest.ts';
import type { StudyPlan } from './plan-study.ts';

/**
 * Throws ConfigError where a study would lose or change what the one before it has: runs, what they are
 * controls of, evaluations. `configFileOf` gives where the configuration of a run lies that it has.
 */
export function requireGrowth(
  before: StudyManifest,
  { study, arms, runs }: StudyPlan,
  configFileOf: (run: string) => string,
): void {
  const { out } = study;
  const refused = (what: string) =>
    new ConfigError(
      `${out}: ${what}; take another out: a study may grow, and what was run and compared stays in it`,
    );
  const now = new Map(runs.map((run) => [run.name, run]));
  for (const { name, key } of before.runs) {
    const run = now.get(name);
    if (run === undefined) throw refused(`its study has the run ${name}, and this one has not`);
    if (run.key !== key)
      throw refused(`its run ${name} is another one: ${whatDiffers(configFileOf(name), run.config)}`);
  }
  for (const { name, isLevel, controls } of before.arms) {
    const arm = arms.find((one) => one.name === name)!;
    const lost = controls.find(
      ({ kind, of }) => !arm.controls.some((one) => one.kind === kind && one.of === of),
    );
    if (lost)
      throw refused(
        `in its study the arm ${name} is the ${lost.kind} control of ${lost.of}, and not in this one`,
      );
    if (isLevel && !arm.isLevel)
      throw refused(`in its study the arm ${name} is a level, and in this one only a control`);
  }
  const switched = Object.keys(study.off).find((name) => !(name in before.off));
  if (switched) throw refused(`its study has the control ${switched}, which this one switches off`);
  const evaluations = study.evaluations.map(digestJson);
  const lost = before.evaluations.find((one) => !evaluations.includes(digestJson(one)));
  if (lost) throw refused(`its study has another evaluation ${lost.name}, or this one has none`);
  const { halving = null } = study.search ?? {};
  if (digestJson(halving) !== digestJson(before.halving)) throw refused('its study has another halving');
  if (halving !== null && now.size > before.runs.length)
    throw refused('its study drops trials by comparing those that it has, so that it cannot grow');
}

/** What in a run's configuration is not as its study has it, but for where files lie. */
function whatDiffers(file: string, config: TrainConfig): string {
  const were = leavesOf(parse(readWhole(file).toString()));
  const are = leavesOf(plainConfig(config));
  const isPlace = (key: string) => /(^|\.)(model|adapter|source|out|use)$/.test(key);
  const key = [...new Set([...were.keys(), ...are.keys()])].find(
    (one) => !isPlace(one) && were.get(one) !== are.get(one),
  );
  if (key === undefined) return 'its module, model, adapter or data have other contents';
  return `${key} was ${were.get(key) ?? 'not there'} and is ${are.get(key) ?? 'not there'}`;
}

/** The values of which nothing lies beneath, as JSON, by dotted keys. */
function leavesOf(value: unknown, key = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null) return new Map([[key, JSON.stringify(value)]]);
  return new Map(
    Object.entries(value).flatMap(([step, inner]) => [
      ...leavesOf(inner, key === '' ? step : `${key}.${step}`),
    ]),
  );
}
