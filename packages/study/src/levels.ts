import { ConfigError, canonicalJson, digestJson, dotted, type KeyPath } from '@flex/base';
import { isSection, type Override } from '@flex/train';
import { keysOf, requireOwnKeys, type Study, slug } from './load-study.ts';
import type { Values } from './study-schema.ts';

/** A level of a factor: its name, and the keys that it sets. */
export interface Level {
  readonly factor: string;
  readonly name: string;
  readonly overrides: readonly Override[];
}

/** The name of the factor whose levels are the trials of a search. */
export const searchFactor = 'search';

/**
 * The levels of each factor of a study, the trials of its search last. Throws ConfigError for a level that is
 * there twice, by name or by what it sets, and for one that sets what the study sets itself.
 */
export function factorsOf(study: Study): Level[][] {
  const { factors, search } = study;
  if (search !== null && searchFactor in factors) {
    const { where } = study.placeOf(['factors', searchFactor]);
    throw new ConfigError(`${where}: factors.${searchFactor} has the name of the study's search; rename it`);
  }
  const all = Object.entries(factors).map(([factor, values]) => levelsOf(factor, values, study));
  if (search === null) return all;
  const trials = trialsOf(search, study);
  requireDistinct(trials, () => ['search', 'over'], study);
  return [...all, trials];
}

/** What levels set, by dotted key; of a key that several set, the last. */
export function keysSet(levels: readonly Level[]): Record<string, unknown> {
  return Object.fromEntries(
    levels.flatMap(({ overrides }) => overrides.map(({ path, value }) => [path.join('.'), value])),
  );
}

function levelsOf(factor: string, values: Study['factors'][string], study: Study): Level[] {
  const placeOf = (path: KeyPath) => study.placeOf(['factors', factor, ...path]);
  const isList = Array.isArray(values);
  const levels = isList
    ? values.map((value, i) => ({
        ...level(factor, [[factor, value]], () => placeOf([i])),
        name: slug(valueName(factor, value, i)),
      }))
    : Object.entries(values).map(([name, keys]) => ({
        factor,
        name: slug(name),
        overrides: keysOf(keys, (key) => placeOf([name, ...key])),
      }));
  const steps = isList ? values.map((_, i) => i) : Object.keys(values);
  requireDistinct(levels, (i) => ['factors', factor, steps[i]], study);
  return levels;
}

function requireDistinct(levels: readonly Level[], pathOf: (i: number) => KeyPath, study: Study): void {
  levels.forEach((one, i) => {
    requireOwnKeys(one.overrides);
    const before = levels.slice(0, i).find((other) => isSame(one, other));
    if (!before) return;
    const what = before.name === one.name ? 'goes by the name of' : 'sets the same keys as';
    throw new ConfigError(
      `${study.placeOf(pathOf(i)).where}: ${dotted(pathOf(i))} ${what} another level, ${before.name}; take one of them out`,
    );
  });
}

function isSame(one: Level, other: Level): boolean {
  const set = (level: Level) => canonicalJson(keysSet([level]), level.name);
  return one.name.toLowerCase() === other.name.toLowerCase() || set(one) === set(other);
}

function level(
  factor: string,
  keys: readonly (readonly [key: string, value: unknown])[],
  placeOf: (key: string) => ReturnType<Study['placeOf']>,
): Omit<Level, 'name'> {
  const overrides = keys.map(([key, value]) => ({ ...placeOf(key), path: key.split('.'), value }));
  return { factor, overrides };
}

/** `lambda-0.02`: the last step of the key, and how the value is named. */
function valueName(key: string, value: unknown, i: number): string {
  return `${key.split('.').at(-1)}-${nameOf(value, i)}`;
}

function nameOf(value: unknown, i: number): string {
  if (isSection(value)) return typeof value.name === 'string' ? value.name : String(i + 1);
  return typeof value === 'object' && value !== null ? String(i + 1) : String(value);
}

/**
 * The trials of a search. Without `random` all combinations of its lists. Else so many draws that differ, each
 * named by its number: draw n of a key is a function of the search's seed, the key and n, so that the first n
 * of more trials are those of n.
 */
function trialsOf(search: NonNullable<Study['search']>, study: Study): Level[] {
  const { over, random, seed } = search;
  const placeOf = (key: string) => study.placeOf(['search', 'over', key]);
  const trial = (keys: readonly (readonly [string, unknown])[], name: string): Level => ({
    ...level(searchFactor, keys, placeOf),
    name: slug(name),
  });
  const keys = Object.entries(over);
  if (random === null) {
    const unlisted = keys.find(([, values]) => !Array.isArray(values));
    if (unlisted) {
      throw new ConfigError(
        `${placeOf(unlisted[0]).where}: search.over.${unlisted[0]} is a distribution, of which search.random says how many are drawn`,
      );
    }
    const lists = keys.map(([key, values]) =>
      (values as readonly unknown[]).map((value, i) => ({ key, value, name: valueName(key, value, i) })),
    );
    return combinations(lists, study.placeOf(['search', 'over']).where).map((choice) =>
      trial(
        choice.map(({ key, value }) => [key, value]),
        choice.map(({ name }) => name).join('+'),
      ),
    );
  }
  const trials: Level[] = [];
  const seen = new Set<string>();
  for (let draw = 0; trials.length < random; draw++) {
    const drawn = keys.map(([key, values]) => [key, drawnFrom(values, share(seed, key, draw))] as const);
    const text = canonicalJson(drawn, 'search');
    if (!seen.has(text)) trials.push(trial(drawn, `trial-${trials.length + 1}`));
    seen.add(text);
    if (draw > 100 * random) {
      throw new ConfigError(
        `${study.placeOf(['search', 'random']).where}: search.random asks for ${random} trials that differ, and ` +
          `${draw} draws gave ${trials.length}; ask for fewer, or draw from more`,
      );
    }
  }
  return trials;
}

/** A number in [0, 1) of 48 bits that its arguments decide: those of their SHA-256. */
function share(seed: number, key: string, draw: number): number {
  return Number.parseInt(digestJson([seed, key, draw]).slice(0, 12), 16) / 2 ** 48;
}

/** The quantile u of a distribution; of real ones with four digits, as it is written into configurations. */
export function drawnFrom(values: Values, u: number): unknown {
  if (Array.isArray(values)) return values[Math.floor(u * values.length)];
  if ('intUniform' in values) {
    const [low, high] = values.intUniform;
    return low + Math.floor(u * (high - low + 1));
  }
  if ('uniform' in values) {
    const [low, high] = values.uniform;
    return rounded(low + u * (high - low), values.uniform);
  }
  const [low, high] = values.logUniform;
  return rounded(low * (high / low) ** u, values.logUniform);
}

const rounded = (x: number, [low, high]: readonly [number, number]) =>
  Math.min(high, Math.max(low, Number(x.toPrecision(4))));

/** Combinations of levels in a study: each is an arm with its controls, and each of these a run a seed. */
const mostCombinations = 1000;

/**
 * All choices of one of each list, the last list's changing fastest. Throws ConfigError, which `where` begins,
 * for more than a study takes.
 */
export function combinations<T>(lists: readonly (readonly T[])[], where: string): T[][] {
  const count = lists.reduce((product, list) => product * list.length, 1);
  if (count > mostCombinations) {
    throw new ConfigError(
      `${where}: there are ${count} combinations, and a study has ${mostCombinations} at most; take fewer levels, ` +
        'or draw some of them (search.random)',
    );
  }
  return lists.reduce<T[][]>(
    (sofar, list) => sofar.flatMap((before) => list.map((one) => [...before, one])),
    [[]],
  );
}
