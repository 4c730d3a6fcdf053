import { extname, resolve } from 'node:path';
import { ConfigError, importDefault, respell } from '@flex/base';
import { type ConfigFile, isSection, type Recipe, respellConfig, type Section } from '@flex/train';
import type { z } from 'zod';
import { mapValues } from './map-values.ts';
import type { studySchema } from './study-schema.ts';

/**
 * A study as a TypeScript value: what a study's file says, its keys camelCase, also where they are paths such
 * as `optimizer.loraPlusRatio`. Its parts are named or come from modules: runs are made from files, in which
 * no value could stand.
 */
export type StudyRecipe = Omit<z.input<typeof studySchema>, 'base'> & {
  readonly base: string | Partial<Omit<Recipe, 'out'>>;
};

/** Types a study. `export default defineStudy({ … })` is what `flex study study.ts` takes. */
export function defineStudy(study: StudyRecipe): StudyRecipe {
  return study;
}

/** Whether a study's file is a module. */
export function isModule(file: string): boolean {
  return /^\.[cm]?[jt]s$/.test(extname(file).toLowerCase());
}

/**
 * The study that is a module's default export, spelt as in a file. Throws ConfigError where there is none.
 */
export async function readStudyModule(file: string): Promise<ConfigFile> {
  const study = await importDefault(resolve(file));
  if (!isSection(study))
    throw new ConfigError(`${file}: must have a default export made with defineStudy({ … })`);
  return { value: asInFiles(study), where: () => file };
}

function asInFiles(study: Section): Section {
  const { base, factors, search, controls, evaluations } = study;
  const respelt = (value: unknown) => respellAll(value, respell);
  return {
    ...study,
    ...(isSection(base) && { base: respellConfig(base) }),
    ...(isSection(factors) && { factors: respellFactors(factors) }),
    ...(isSection(search) && {
      search: { ...search, ...(isSection(search.over) && { over: respellOver(search.over) }) },
    }),
    ...(isSection(controls) && { controls: respelt(controls) }),
    ...(Array.isArray(evaluations) && { evaluations: evaluations.map(respelt) }),
  };
}

/** The names of levels are the user's own. */
function respellFactors(factors: Section): Section {
  return Object.fromEntries(
    Object.entries(factors).map(([key, levels]) => {
      if (!isSection(levels)) return [respell(key), respellValues(key, levels)];
      return [key, mapValues(levels, (level) => (isSection(level) ? respellLevel(level) : level))];
    }),
  );
}

function respellOver(over: Section): Section {
  return Object.fromEntries(
    Object.entries(over).map(([key, values]) => [
      respell(key),
      isSection(values) ? respellAll(values, respell) : respellValues(key, values),
    ]),
  );
}

/** A level's keys, `{ 'lora.rankPattern': … }` and `{ lora: { rankPattern: … } }` alike. */
function respellLevel(level: Section): Section {
  return respellAll(respellConfig(level), (key) => (key.includes('.') ? respell(key) : key)) as Section;
}

/** The values of a key, which are sections of options where it is one of a run's. */
function respellValues(key: string, values: unknown): unknown {
  if (!Array.isArray(values) || key.includes('.')) return values;
  return values.map((value) => respellConfig({ [key]: value })[key]);
}

function respellAll(value: unknown, spell: (key: string) => string): unknown {
  if (!isSection(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [spell(key), inner]));
}
