import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  ConfigError,
  dotted,
  expandHome,
  firstProblem,
  type KeyPath,
  locate,
  mapPaths,
  type OptionProblem,
  respell,
} from '@flex/base';
import {
  applyOverride,
  type ConfigFile,
  isSection,
  type Override,
  parseOverride,
  readConfigFile,
  respellSection,
  type Section,
} from '@flex/train';
import { isModule, readStudyModule } from './define-study.ts';
import { mapValues } from './map-values.ts';
import { type ControlName, type StudyClaim, type StudyOptions, studySchema } from './study-schema.ts';

/** A study as its file says it. */
export interface Study {
  readonly title: string | null;
  readonly notes: readonly string[];
  /** Absolute. */
  readonly file: string;
  /** The configuration file of the base, absolute; undefined where the study has its keys. */
  readonly baseFile: string | undefined;
  /** The keys of the base that the study itself has. */
  readonly baseKeys: readonly Override[];
  readonly factors: StudyOptions['factors'];
  readonly search: StudyOptions['search'];
  readonly seeds: readonly number[];
  /** The controls that are switched off, and why. */
  readonly off: Readonly<Partial<Record<ControlName, string>>>;
  readonly evaluations: readonly StudyEvaluation[];
  readonly claims: readonly StudyClaim[];
  /** Absolute. */
  readonly out: string;
  /** The file's content with the keys given over it, spelt as in files. */
  readonly written: Section;
  /** Where something of the study is said, for messages and for the paths in it. */
  placeOf(path: KeyPath): Place;
}

/** Where something is said. */
export interface Place {
  /** `study.yaml:7`, or `override "seeds=5"`. */
  readonly where: string;
  /** What paths there are relative to. */
  readonly folder: string;
}

/** An evaluation of each run, under a name that no other has. */
export type StudyEvaluation = StudyOptions['evaluations'][number] & { readonly name: string };

/**
 * The study that a YAML, TOML or JSON file or a module with `defineStudy` says, with `key=value` texts over
 * it: `seeds=5`, `base.train.epochs=1`. Paths in it are relative to it, those of `key=value` to the working
 * directory. Throws ConfigError, one line with `study.yaml:7` in front.
 */
export async function loadStudy(file: string, overrides: readonly string[] = []): Promise<Study> {
  const source = isModule(file) ? await readStudyModule(file) : await readConfigFile(file);
  return studyOf(source, file, overrides);
}

/** The study that the content of `file` says, as loadStudy does. */
export function studyOf(source: ConfigFile, file: string, overrides: readonly string[] = []): Study {
  const applied = overrides.map(parseOverride);
  const written = applied.reduce(applyOverride, source.value);
  const given = spelt(written);
  const placeOf = (path: KeyPath): Place => {
    const override = applied.findLast((one) => one.path.every((step, i) => step === String(path[i])));
    if (override) return { where: override.where, folder: process.cwd() };
    return { where: source.where(path), folder: dirname(resolve(file)) };
  };
  const fail = ({ path, message }: OptionProblem): never => {
    throw new ConfigError(`${placeOf(asWritten(path)).where}: ${message}`);
  };
  const problem = firstProblem(studySchema, given, asWritten);
  if (problem) fail(problem);
  const located = mapPaths(studySchema, given, (text, kind, path) => {
    if (path[0] === 'base' && path.length > 1) return text;
    const place = locate(text, kind, placeOf(path).folder);
    const needed = kind !== 'output' && !existsSync(place);
    if (needed) fail({ path, message: `${dotted(path)}: there is no ${place}` });
    return resolve(place);
  });
  const options = studySchema.parse(located);
  const { base, factors, search, seeds, controls, evaluations, out, title = null, notes, claims } = options;
  const names = namesOf(evaluations, fail);
  const baseKeys = isSection(base) ? leavesOf(base, (path) => placeOf(['base', ...path])) : [];
  requireOwnKeys(baseKeys);
  return {
    title,
    notes,
    claims,
    file: resolve(file),
    baseFile: typeof base === 'string' ? base : undefined,
    baseKeys,
    factors,
    search,
    seeds: seedsOf(seeds, fail),
    off: offOf(controls),
    evaluations: evaluations.map((evaluation, i) => ({ ...evaluation, name: names[i] })),
    out,
    written,
    placeOf,
  };
}

/** A section of a run's configuration as overrides, `{optimizer.lr: 1}` and `{optimizer: {lr: 1}}` alike. */
export function keysOf(section: Section, placeAt: (path: KeyPath) => Place): Override[] {
  return Object.entries(section).map(([key, value]) => ({
    ...placeAt([key]),
    path: key.split('.'),
    value,
  }));
}

/** All values of a section of which nothing lies beneath, each as an override with a place of its own. */
function leavesOf(section: Section, placeAt: (path: KeyPath) => Place): Override[] {
  return keysOf(section, placeAt).flatMap((override) => {
    const { value, path } = override;
    if (!isSection(value) || Object.keys(value).length === 0) return [override];
    const key = path.join('.');
    return leavesOf(value, (inner) => placeAt([key, ...inner])).map((leaf) => ({
      ...leaf,
      path: [...path, ...leaf.path],
    }));
  });
}

/** Throws ConfigError where overrides set what a study sets itself, which would be lost in silence. */
export function requireOwnKeys(overrides: readonly Override[]): void {
  for (const override of overrides) {
    const { out, train } = applyOverride({}, override);
    if (out !== undefined)
      throw new ConfigError(`${override.where}: sets out; the folders of runs are the study's`);
    if (isSection(train) && train.seed !== undefined) {
      throw new ConfigError(`${override.where}: sets train.seed; the study's own key \`seeds\` does`);
    }
  }
}

/** The file's keys as the schema has them. */
function spelt(written: Section): Section {
  const { controls, evaluations, search } = written;
  const respelt = (value: unknown) => (isSection(value) ? respellSection(value) : value);
  const isSearch = isSection(search) && isSection(search.over);
  return {
    ...written,
    controls: respelt(controls),
    ...(Array.isArray(evaluations) && { evaluations: evaluations.map(respelt) }),
    ...(isSearch && { search: { ...search, over: mapValues(search.over as Section, respelt) } }),
  };
}

/**
 * A path of the schema as it is written in files, where names of factors, levels and keys are the user's own.
 */
function asWritten(path: KeyPath): KeyPath {
  const options: Readonly<Record<string | number, number>> = { controls: 1, evaluations: 2, search: 3 };
  return path.map((step, i) =>
    i === options[path[0]] && typeof step === 'string' && path[1] !== 'halving' ? respell(step) : step,
  );
}

function seedsOf(seeds: StudyOptions['seeds'], fail: (problem: OptionProblem) => never): readonly number[] {
  if (typeof seeds === 'number') return Array.from({ length: seeds }, (_, i) => i);
  const second = seeds.findIndex((seed, i) => seeds.indexOf(seed) < i);
  if (second === -1) return seeds;
  return fail({
    path: ['seeds', second],
    message: `seeds.${second} is ${seeds[second]}, which is there before`,
  });
}

function offOf(controls: StudyOptions['controls']): Study['off'] {
  const byName: Record<ControlName, StudyOptions['controls']['baseModel']> = {
    unpenalized: controls.unpenalized,
    'matched-l2': controls.matchedL2,
    'permuted-frequencies': controls.permutedFrequencies,
    'permuted-order': controls.permutedOrder,
    'base-model': controls.baseModel,
  };
  return Object.fromEntries(
    Object.entries(byName).flatMap(([name, control]) => (control === 'on' ? [] : [[name, control.off]])),
  );
}

/** What each evaluation goes by: its own name, or its benchmark's. */
function namesOf(
  evaluations: StudyOptions['evaluations'],
  fail: (problem: OptionProblem) => never,
): string[] {
  const names = evaluations.map(({ name, benchmark, merged }) =>
    slug(name ?? (merged ? `${lastPart(benchmark)}-merged` : lastPart(benchmark))),
  );
  const second = names.findIndex((name, i) => names.indexOf(name) < i);
  if (second === -1) return names;
  const message = `evaluations.${second} goes by the name of another one, ${names[second]}; give it a name of its own`;
  return fail({ path: ['evaluations', second], message });
}

const lastPart = (text: string) => expandHome(text).split('/').at(-1)!.split('.')[0];

/** A name of a folder made of any text. */
export function slug(text: string): string {
  const plain = text.replace(/[^\p{L}\p{N}.=+_-]+/gu, '-').replace(/^[-.]+|[-.]+$/g, '');
  return plain === '' ? 'x' : plain.slice(0, 80);
}
