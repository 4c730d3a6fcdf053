import { ConfigError, DataError, nearestName } from '@flex/base';
import { appsPart, type Format, formats, parseSplit, type Row, readRows, selectRows } from '@flex/datasets';
import { languageIds } from '@flex/judge';
import type { Benchmark } from '../benchmark.ts';
import { apps, judgedAppsRow } from './apps.ts';
import { evalPlus, evalPlusRow } from './eval-plus.ts';
import { findData, type NamedData } from './find-data.ts';
import type { Identified } from './from-rows.ts';
import { humanEval, humanEvalPrompts, judgedHumanEvalRow } from './human-eval.ts';
import { mbpp, mbppPrompts } from './mbpp.ts';
import { mbxpJava, mbxpJavaRow } from './mbxp.ts';
import { judgedMultiplERow, multiplE } from './multipl-e.ts';

export interface OpenBenchmarkOptions {
  /**
   * `humaneval`, `mbpp`, `humaneval+`, `mbpp+`, `multipl-e:LANG`, `mbxp:java`, `apps`, or the path of a file
   * (or APPS folder) of rows of one of their shapes, told apart by the keys of the first.
   */
  readonly name: string;
  /** The benchmark's own file, gzipped or not, or its folder for APPS; null looks in `dataFolder`. */
  readonly data?: string | null;
  /**
   * `all`, or task ids such as `11-510` or `1,5-9`; of MBPP and MBXP also `train`, `validation`, `test`,
   * `prompt`; of an APPS folder `train` or `test`. Null takes `test` of MBPP (all, if none of its rows is in
   * it) and of an APPS folder, and `all` of the others.
   */
  readonly split?: string | null;
  /**
   * `raw` or `stripped` of HumanEval and EvalPlus; `docstring`, `all-tests` or `few-shot` of MBPP; null takes
   * the first.
   */
  readonly prompt?: string | null;
  /**
   * Where data lie that are not named: HumanEval.jsonl, mbpp.jsonl, HumanEvalPlus.jsonl, MbppPlus.jsonl,
   * mbjp.jsonl, apps and multipl-e/humaneval-LANG.jsonl, the files gzipped or not.
   */
  readonly dataFolder?: string | null;
  /** Takes one line for people about rows that are left out. */
  readonly warn?: (line: string) => void;
}

export interface OpenedBenchmark extends Benchmark {
  /** Ids of the data's rows that the default split left out; none where a split was named. */
  readonly leftOut: readonly string[];
  /** The files and folders that it was read from. */
  readonly paths: readonly string[];
}

/** A kind of benchmark: the format of its rows, and what is made of them. */
interface Kind<
  R extends Row = Row,
  Judged extends Identified<Row> = Identified<Row>,
  Prompt extends string = string,
> {
  readonly format: Format<R>;
  /** Benchmarks of these rows by their names, and the files that hold each where no other is named. */
  readonly files: Readonly<Record<string, readonly string[]>>;
  /** The split that is taken unless one is named, or all if it has no row. */
  readonly defaultSplit?: string;
  /** The first is taken unless one is named. */
  readonly prompts?: readonly Prompt[];
  /** What is judged of a row; null for one that cannot be. Throws DataError, which begins with the place. */
  judged(row: Identified<R>, where: string): Judged | null;
  make(rows: readonly Judged[], prompt: Prompt | undefined, all: readonly Judged[]): Benchmark;
}

const kinds: readonly Kind[] = [
  kind({
    format: formats.evalPlus,
    files: { 'humaneval+': ['HumanEvalPlus.jsonl'], 'mbpp+': ['MbppPlus.jsonl'] },
    prompts: humanEvalPrompts,
    judged: evalPlusRow,
    make: (rows, prompt) => evalPlus(rows, { prompt }),
  }),
  kind({
    format: formats.humanEval,
    files: { humaneval: ['HumanEval.jsonl'] },
    prompts: humanEvalPrompts,
    judged: judgedHumanEvalRow,
    make: (rows, prompt) => humanEval(rows, { prompt }),
  }),
  kind({
    format: formats.mbxp,
    files: { 'mbxp:java': ['mbjp.jsonl'] },
    judged: mbxpJavaRow,
    make: mbxpJava,
  }),
  kind({
    format: formats.mbpp,
    files: { mbpp: ['mbpp.jsonl'] },
    defaultSplit: 'test',
    prompts: mbppPrompts,
    judged: (row) => row,
    make: (rows, prompt, all) => mbpp(rows, { prompt, examples: all }),
  }),
  kind({
    format: formats.multiplE,
    files: Object.fromEntries(
      languageIds.map((language) => [`multipl-e:${language}`, [`multipl-e/humaneval-${language}.jsonl`]]),
    ),
    judged: judgedMultiplERow,
    make: multiplE,
  }),
  kind({ format: formats.apps, files: { apps: ['apps', 'APPS'] }, judged: judgedAppsRow, make: apps }),
];

function kind<R extends Row, Judged extends Identified<Row>, Prompt extends string = never>(
  typed: Kind<R, Judged, Prompt>,
): Kind {
  return typed;
}

/**
 * A benchmark by name or path. Its `options.data` is the digest of the rows it uses, which depends neither on
 * where they lie nor on how they are stored.
 *
 * Throws ConfigError for an unknown name, split or prompt and for data that are not there, and DataError with
 * file and line for rows that are malformed, of another shape or of one id, and where a split selects none.
 */
export async function openBenchmark(options: OpenBenchmarkOptions): Promise<OpenedBenchmark> {
  const { name, data = null, dataFolder = null, split = null, prompt = null, warn } = options;
  const isPath = /[\\/]|\.(jsonl?|gz)$/i.test(name);
  if (isPath && data !== null)
    throw new ConfigError(`benchmark ${name} is a path already; leave ${data} out`);
  const known = isPath ? null : knownBenchmark(name);
  const path = known ? findData(known, data, dataFolder) : name;
  const part = appsPart(path, split);
  const rows: Placed[] = [];
  const places = new Map<string, string>();
  let left = 0;
  const from = readRows(path, { formats: kinds.map(({ format }) => format), part, parts: ['test', 'train'] });
  for await (const { where, format, row } of from) {
    if (known && format.name !== known.format) {
      throw new DataError(`${where}: is a row of ${format.name}, and ${known.name} was asked for`);
    }
    const kind = kinds.find((other) => other.format === format)!;
    const judged = kind.judged(identified(row, where), where);
    if (judged === null) {
      left++;
      continue;
    }
    const before = places.get(judged.id);
    if (before) throw new DataError(`${where}: has the id ${judged.id} of ${before}; ids must be unique`);
    places.set(judged.id, where);
    rows.push({ where, row: judged, kind });
  }
  if (rows.length === 0) throw new DataError(`${path}: has no row with a test case`);
  const [{ kind }] = rows;
  if (left > 0) warn?.(`${kind.format.name}: rows left out because they have no test case: ${left}`);
  const selected = new Set(select(rows, part === null ? split : 'all', kind, path));
  const judgedOf = (some: Iterable<Placed>) => Array.from(some, ({ row }) => row);
  const benchmark = kind.make(judgedOf(selected), choosePrompt(kind, prompt), judgedOf(rows));
  if (known && benchmark.name !== known.name) {
    throw new DataError(`${path}: its rows are of ${benchmark.name}, and ${known.name} was asked for`);
  }
  const others = split === null ? rows.filter((row) => !selected.has(row)) : [];
  return { ...benchmark, leftOut: others.map(({ row }) => row.id), paths: [path] };
}

/**
 * The data of a benchmark that goes by its name, in a folder of data. Throws ConfigError for an unknown name
 * and where the folder lacks them.
 */
export function benchmarkData(name: string, folder: string): string {
  return findData(knownBenchmark(name), null, folder);
}

interface Placed {
  readonly where: string;
  readonly row: Identified<Row>;
  readonly kind: Kind;
}

function identified(row: Row, where: string): Identified<Row> {
  if (row.id !== null) return { ...row, id: row.id };
  throw new DataError(`${where}: has no task_id, which must be a text or a whole number`);
}

function select(rows: readonly Placed[], split: string | null, kind: Kind, path: string): readonly Placed[] {
  if (split !== null) return selectRows(rows, parseSplit(split), kind.format, path);
  const { selects } = parseSplit(kind.defaultSplit ?? 'all');
  const selected = rows.filter(({ row }) => selects(row.id));
  return selected.length > 0 ? selected : rows;
}

function choosePrompt({ format: { name }, prompts = [] }: Kind, given: string | null): string | undefined {
  if (given === null) return undefined;
  const prompt = prompts.find((known) => known === given);
  if (prompt) return prompt;
  const meant = nearestName(given, prompts);
  const known = prompts.length > 0 ? `must be one of ${prompts.join(', ')}` : 'is fixed, leave it out';
  throw new ConfigError(
    `prompt of ${name} ${known}; got ${JSON.stringify(given)}${meant ? `, is it ${meant}?` : ''}`,
  );
}

const knownBenchmarks: readonly NamedData[] = kinds.flatMap(({ format, files }) =>
  Object.entries(files).map(([name, named]) => ({ name, format: format.name, files: named })),
);

function knownBenchmark(name: string): NamedData {
  const known = knownBenchmarks.find((benchmark) => benchmark.name === name);
  if (known) return known;
  const like = knownBenchmarks.filter((benchmark) => benchmark.name.includes(':') === name.includes(':'));
  const meant = nearestName(
    name,
    like.map((benchmark) => benchmark.name),
  );
  const languages = languageIds.join(', ');
  const hint = meant ? `, is it ${meant}?` : '.';
  throw new ConfigError(
    `benchmark: unknown name ${JSON.stringify(name)}${hint} Known are humaneval, mbpp, humaneval+, mbpp+, ` +
      `multipl-e:LANG (LANG one of ${languages}), mbxp:java, apps, and a path FILE.jsonl`,
  );
}
