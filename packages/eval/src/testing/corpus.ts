import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, show } from '@flex/base';
import {
  formats,
  type HumanEvalRow,
  type Members,
  members,
  text as textOf,
  texts as textsOf,
} from '@flex/datasets';
import type { Identified } from '../benchmarks/from-rows.ts';
import { type JudgedMultiplERow, judgedMultiplERow } from '../benchmarks/multipl-e.ts';
import { type Verdict, verdicts } from '../verdict.ts';

const text = (value: Members, key: string, where: string) => textOf({ value, where, text: '' }, key);
const texts = (value: Members, key: string, where: string) => textsOf({ value, where, text: '' }, key);
const fixtures = join(import.meta.dirname, '../../fixtures');

/** A completion that solves a problem of MultiPL-E's HumanEval in Java, by the problem's name. */
export interface JavaSolution {
  readonly problem: string;
  readonly text: string;
}

/** A small edit of a solution, after which it compiles and fails its tests. */
export interface Sabotage {
  readonly problem: string;
  /** Occurs exactly once in the solution. */
  readonly find: string;
  readonly replace: string;
}

/** What attacks try; `control` are right solutions that only look suspicious. */
export const families = [
  'control',
  'forged-exit',
  'forged-equality',
  'forged-protocol',
  'patched-runtime',
  'redefinition',
  'comment-tricks',
  'test-theft',
  'secrets',
  'writes',
  'links',
  'network',
  'kernel',
  'processes',
  'signals',
  'daemons',
  'resource-processes',
  'resource-memory',
  'resource-files',
  'output',
  'compile-bomb',
  'recursion',
  'time',
  'hostile-values',
] as const;
export type Family = (typeof families)[number];

/** A hostile program, as a completion of one of the attacks' own problems. Only ever run it in a sandbox. */
export interface Attack {
  readonly name: string;
  readonly family: Family;
  readonly language: 'py' | 'java';
  /** Id of one of the problems. */
  readonly problem: string;
  readonly text: string;
  /** The verdicts that are right; just `passed` for a control, never `passed` for another. */
  readonly verdicts: readonly Verdict[];
  readonly note: string;
}

/** The problems that attacks answer: ids begin with `python/` and `java/`. */
export interface AttackProblems {
  readonly python: readonly Identified<HumanEvalRow>[];
  readonly java: readonly JudgedMultiplERow[];
  /** A right completion of each problem, by its id. */
  readonly canonical: ReadonlyMap<string, string>;
}

/** All solutions, by name. Throws DataError where one is empty or holds the stop text of MultiPL-E's Java. */
export function readJavaSolutions(folder = join(fixtures, 'java-solutions')): JavaSolution[] {
  const files = readdirSync(folder).filter((name) => name !== 'sabotages.json');
  return files.sort().map((file) => {
    const problem = /^(HumanEval_\d+_\w+)\.java$/.exec(file)?.[1];
    if (!problem) throw new DataError(`${file}: must be named HumanEval_<number>_<name>.java`);
    const solution = readFileSync(join(folder, file), 'utf8');
    if (!solution.trim() || `\n${solution}`.includes('\n    }\n')) {
      throw new DataError(`${file}: must be a completion, without the brace that closes the method`);
    }
    return { problem, text: solution };
  });
}

/** All sabotages. Throws DataError where one does not change exactly one place of a solution. */
export function readSabotages(folder = join(fixtures, 'java-solutions')): Sabotage[] {
  const solutions = new Map(readJavaSolutions(folder).map(({ problem, text }) => [problem, text]));
  const seen = new Set<string>();
  return readList(folder, 'sabotages.json').map(({ row, where }) => {
    only(row, ['problem', 'find', 'replace'], where);
    const sabotage = {
      problem: text(row, 'problem', where),
      find: text(row, 'find', where),
      replace: text(row, 'replace', where),
    };
    const parts = solutions.get(sabotage.problem)?.split(sabotage.find).length;
    if (parts === undefined) throw new DataError(`${where}: there is no solution of ${sabotage.problem}`);
    if (parts !== 2 || sabotage.find === sabotage.replace) {
      throw new DataError(`${where}: ${show(sabotage.find)} must occur once in the solution, and change`);
    }
    unique(seen, JSON.stringify(sabotage), where);
    return sabotage;
  });
}

/** The problems of the attacks. Throws DataError where a row is wrong or has no canonical solution. */
export function readAttackProblems(folder = join(fixtures, 'attacks')): AttackProblems {
  const file = 'problems.json';
  const lists = members(readJson(folder, file), file, 'the file');
  only(lists, ['python', 'java'], file);
  const canonical = new Map<string, string>();
  const rows = <Row extends { readonly id: string }>(
    key: 'python' | 'java',
    read: (row: Members, where: string) => Row,
  ) =>
    rowsOf(lists[key], `${file}: ${key}`).map(({ row, where }) => {
      const known = read(row, where);
      if (!known.id.startsWith(`${key}/`)) throw new DataError(`${where}: its id must begin with ${key}/`);
      if (canonical.has(known.id)) throw new DataError(`${where}: ${known.id} comes twice`);
      canonical.set(known.id, text(row, 'canonical_solution', where));
      return known;
    });
  return {
    python: rows(
      'python',
      (value, where) => formats.humanEval.read({ value, where, text: '' }) as Identified<HumanEvalRow>,
    ),
    java: rows('java', (value, where) => {
      const row = formats.multiplE.read({ value, where, text: '' });
      return judgedMultiplERow(row as Identified<typeof row>, where);
    }),
    canonical,
  };
}

const places = { py: { folder: 'python', ending: 'py' }, java: { folder: 'java', ending: 'java' } } as const;

/**
 * All attacks, in the order of their index. Throws DataError at an entry with a wrong, missing or unknown
 * member, and at a program that the index does not list.
 */
export function readAttacks(folder = join(fixtures, 'attacks')): Attack[] {
  const { canonical } = readAttackProblems(folder);
  const names = new Set<string>();
  const attacks = readList(folder, 'attacks.json').map(({ row, where }): Attack => {
    only(row, ['name', 'family', 'language', 'problem', 'file', 'verdicts', 'note'], where);
    const name = text(row, 'name', where);
    if (!/^[a-z\d]+(-[a-z\d]+)*$/.test(name)) throw new DataError(`${where}: ${show(name)} is no kebab-case`);
    unique(names, name, where);
    const family = oneOf(families, text(row, 'family', where), where);
    const language = oneOf(['py', 'java'] as const, text(row, 'language', where), where);
    const place = places[language];
    const problem = text(row, 'problem', where);
    if (!canonical.has(problem) || !problem.startsWith(`${place.folder}/`)) {
      throw new DataError(`${where}: there is no ${language} problem ${problem}`);
    }
    const file = `${place.folder}/${name}.${place.ending}`;
    if (text(row, 'file', where) !== file) throw new DataError(`${where}: file must be ${file}`);
    const right = texts(row, 'verdicts', where).map((verdict) => oneOf(verdicts, verdict, where));
    checkVerdicts(right, family, where);
    const note = text(row, 'note', where);
    if (!note || note !== note.trim() || note.includes('\n')) {
      throw new DataError(`${where}: note must be one line`);
    }
    return {
      name,
      family,
      language,
      problem,
      text: readFileSync(join(folder, file), 'utf8'),
      verdicts: right,
      note,
    };
  });
  for (const place of Object.values(places)) {
    for (const file of readdirSync(join(folder, place.folder))) {
      const name = file.slice(0, -place.ending.length - 1);
      if (!names.has(name)) throw new DataError(`${place.folder}/${file}: attacks.json does not list it`);
    }
  }
  return attacks;
}

function checkVerdicts(right: readonly Verdict[], family: Family, where: string): void {
  const wrong =
    family === 'control'
      ? right.length !== 1 || right[0] !== 'passed'
      : right.length === 0 || right.includes('passed') || right.includes('missing');
  if (wrong || new Set(right).size < right.length) {
    throw new DataError(`${where}: verdicts ${show(right)} cannot be right for ${family}`);
  }
}

interface Entry {
  readonly row: Members;
  readonly where: string;
}

function readList(folder: string, file: string): Entry[] {
  return rowsOf(readJson(folder, file), file);
}

function rowsOf(value: unknown, where: string): Entry[] {
  if (!Array.isArray(value)) throw new DataError(`${where} must be a list, got ${show(value)}`);
  return value.map((row, i) => ({ row: members(row, `${where}[${i}]`), where: `${where}[${i}]` }));
}

function readJson(folder: string, file: string): unknown {
  const content = readFileSync(join(folder, file), 'utf8');
  try {
    return JSON.parse(content);
  } catch (error) {
    throw new DataError(`${file}: is not JSON (${(error as Error).message})`);
  }
}

function only(row: Members, keys: readonly string[], where: string): void {
  const unknown = Object.keys(row).find((key) => !keys.includes(key));
  if (unknown) throw new DataError(`${where}: unknown member ${unknown}; known are ${keys.join(', ')}`);
}

function oneOf<Word extends string>(words: readonly Word[], given: string, where: string): Word {
  const word = words.find((known) => known === given);
  if (!word) throw new DataError(`${where}: ${show(given)} must be one of ${words.join(', ')}`);
  return word;
}

function unique(seen: Set<string>, name: string, where: string): void {
  if (seen.has(name)) throw new DataError(`${where}: ${name} comes twice`);
  seen.add(name);
}
