import { statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Benchmark } from '../benchmark.ts';
import { ConfigError, DataError } from '../errors.ts';
import { type AppsRow, apps, readAppsRow } from './apps.ts';
import { findData, readData } from './data-files.ts';
import { object, type RawRow } from './fields.ts';
import { type HumanEvalRow, humanEval, humanEvalPrompts, readHumanEvalRow } from './human-eval.ts';
import type { JsonRow } from './json-rows.ts';
import { type MbppRow, mbpp, mbppPrompts, readMbppRow } from './mbpp.ts';
import { type MbxpRow, mbxpJava, readMbxpRow } from './mbxp.ts';
import { type MultiplERow, multiplE, multiplELanguages, readMultiplERow } from './multipl-e.ts';
import { nearest } from './nearest.ts';
import { parseSplit, taskNumber } from './split.ts';

export interface OpenBenchmarkOptions {
  /**
   * `humaneval`, `mbpp`, `multipl-e:LANG`, `mbxp:java`, `apps`, or the path of a file (or APPS folder) of
   * rows of one of their shapes, told apart by the keys of the first.
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
   * `raw` or `stripped` of HumanEval; `docstring`, `all-tests` or `few-shot` of MBPP; null takes the first.
   */
  readonly prompt?: string | null;
  /**
   * Where data lie that are not named: HumanEval.jsonl, mbpp.jsonl, mbjp.jsonl, apps and
   * multipl-e/humaneval-LANG.jsonl, the files gzipped or not.
   */
  readonly dataFolder?: string | null;
  /** Takes one line for people about rows that are left out. */
  readonly warn?: (line: string) => void;
}

export interface OpenedBenchmark extends Benchmark {
  /** Ids of the data's rows that the default split left out; none where a split was named. */
  readonly leftOut: readonly string[];
}

interface Shape {
  readonly name: string;
  readonly keys: string;
  readonly matches: (row: RawRow) => boolean;
  readonly open: (rows: AsyncIterable<JsonRow>, options: OpenBenchmarkOptions) => Promise<OpenedBenchmark>;
}

interface ShapeSpec<Row, Prompt extends string> extends Omit<Shape, 'open'> {
  /** Whether task ids follow MBPP's. */
  readonly mbppIds?: boolean;
  readonly defaultSplit?: string;
  readonly prompts?: readonly Prompt[];
  /** Null for a row that cannot be judged. */
  readonly read: (row: RawRow, where: string, json: string) => Row | null;
  readonly build: (selected: Row[], prompt: Prompt | undefined, all: Row[]) => Benchmark;
}

/**
 * A benchmark by name or path. Its `options.data` is the digest of the rows it uses, which depends neither on
 * where they lie nor on how they are stored.
 *
 * Throws ConfigError for an unknown name, split or prompt and for data that are not there, and DataError with
 * file and line for rows that are malformed, of another shape or of one id, and where a split selects none.
 */
export async function openBenchmark(options: OpenBenchmarkOptions): Promise<OpenedBenchmark> {
  const { name, data = null, dataFolder = null, split = null } = options;
  const isPath = /[\\/]|\.(jsonl?|gz)$/i.test(name);
  if (isPath && data !== null)
    throw new ConfigError(`benchmark ${name} is a path already; leave ${data} out`);
  const known = isPath ? null : knownBenchmark(name);
  const path = isPath ? name : pathOf(known!, data, dataFolder);
  const appsSplit = split === 'train' || split === 'test' ? split : null;
  const rows = readData({ path, appsSplit });
  try {
    return await openRows(rows, known, options, path);
  } finally {
    await rows.return(undefined);
  }
}

/** The file of a named benchmark: as given, or in the given folder, or in the data folder. */
function pathOf(
  { name, shape, files }: KnownBenchmark,
  data: string | null,
  dataFolder: string | null,
): string {
  if (data === null) return findData(dataFolder, files, name);
  const isFolder = statSync(data, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (!isFolder || shape === 'apps') return data;
  return findData(data, [...new Set(files.flatMap((file) => [file, basename(file)]))], name);
}

async function openRows(
  rows: AsyncGenerator<JsonRow>,
  known: KnownBenchmark | null,
  options: OpenBenchmarkOptions,
  path: string,
): Promise<OpenedBenchmark> {
  const first = await rows.next();
  if (first.done) throw new DataError(`${path}: has no rows`);
  const shape = shapeOf(first.value);
  if (known && shape.name !== known.shape) {
    throw new DataError(`${first.value.where}: is a row of ${shape.name}, and ${known.name} was asked for`);
  }
  const all = (async function* () {
    yield first.value;
    yield* rows;
  })();
  const benchmark = await shape.open(all, options);
  if (known && benchmark.name !== known.name) {
    throw new DataError(`${path}: its rows are of ${benchmark.name}, and ${known.name} was asked for`);
  }
  return benchmark;
}

interface KnownBenchmark {
  readonly name: string;
  readonly shape: string;
  /** Names in a data folder. */
  readonly files: readonly string[];
}

const knownBenchmarks: readonly KnownBenchmark[] = [
  { name: 'humaneval', shape: 'humaneval', files: ['HumanEval.jsonl'] },
  { name: 'mbpp', shape: 'mbpp', files: ['mbpp.jsonl'] },
  { name: 'mbxp:java', shape: 'mbxp', files: ['mbjp.jsonl'] },
  { name: 'apps', shape: 'apps', files: ['apps', 'APPS'] },
  ...multiplELanguages.map((language) => ({
    name: `multipl-e:${language}`,
    shape: 'multipl-e',
    files: [`multipl-e/humaneval-${language}.jsonl`],
  })),
];

function knownBenchmark(name: string): KnownBenchmark {
  const known = knownBenchmarks.find((benchmark) => benchmark.name === name);
  if (known) return known;
  const like = knownBenchmarks.filter((benchmark) => benchmark.name.includes(':') === name.includes(':'));
  const meant = nearest(
    name,
    like.map((benchmark) => benchmark.name),
  );
  const languages = multiplELanguages.join(', ');
  const hint = meant ? `, is it ${meant}?` : '.';
  throw new ConfigError(
    `benchmark: unknown name ${JSON.stringify(name)}${hint} Known are humaneval, mbpp, ` +
      `multipl-e:LANG (LANG one of ${languages}), mbxp:java, apps, and a path FILE.jsonl`,
  );
}

const has = (row: RawRow, ...keys: string[]): boolean => keys.every((key) => Object.hasOwn(row, key));

const shapes: readonly Shape[] = [
  newShape<MbxpRow, never>({
    name: 'mbxp',
    keys: '{task_id, language, prompt, entry_point, test}',
    matches: (row) => has(row, 'task_id', 'language', 'prompt', 'entry_point', 'test'),
    mbppIds: true,
    read: readMbxpRow,
    build: (rows) => mbxpJava(rows),
  }),
  newShape<HumanEvalRow, (typeof humanEvalPrompts)[number]>({
    name: 'humaneval',
    keys: '{task_id, prompt, entry_point, test}',
    matches: (row) => has(row, 'task_id', 'prompt', 'entry_point', 'test'),
    prompts: humanEvalPrompts,
    read: readHumanEvalRow,
    build: (rows, prompt) => humanEval(rows, { prompt }),
  }),
  newShape<MbppRow, (typeof mbppPrompts)[number]>({
    name: 'mbpp',
    keys: '{task_id, text, code, test_list}',
    matches: (row) => has(row, 'test_list'),
    mbppIds: true,
    defaultSplit: 'test',
    prompts: mbppPrompts,
    read: readMbppRow,
    build: (rows, prompt, all) => mbpp(rows, { prompt, examples: all }),
  }),
  newShape<MultiplERow, never>({
    name: 'multipl-e',
    keys: '{name, language, prompt, tests, stop_tokens}',
    matches: (row) => has(row, 'name', 'prompt', 'tests'),
    read: readMultiplERow,
    build: (rows) => multiplE(rows),
  }),
  newShape<AppsRow, never>({
    name: 'apps',
    keys: '{task_id or problem_id, question, input_output}',
    matches: (row) => has(row, 'question', 'input_output'),
    read: readAppsRow,
    build: (rows) => apps(rows),
  }),
];

function shapeOf({ value, where }: JsonRow): Shape {
  const row = object(value, where);
  const shape = shapes.find(({ matches }) => matches(row));
  if (shape) return shape;
  const known = shapes.map(({ name, keys }) => `${name} ${keys}`).join(', ');
  throw new DataError(`${where}: has the keys ${Object.keys(row).join(', ')}; known rows are ${known}`);
}

function newShape<Row extends { readonly id: string }, Prompt extends string>(
  spec: ShapeSpec<Row, Prompt>,
): Shape {
  return {
    ...spec,
    async open(rows, { prompt = null, split = null, warn }) {
      const chosen = choosePrompt(spec, prompt);
      const all: Row[] = [];
      const places = new Map<string, string>();
      let left = 0;
      for await (const { value, where, text } of rows) {
        const row = spec.read(object(value, where), where, text);
        if (row === null) {
          left++;
          continue;
        }
        const before = places.get(row.id);
        if (before) throw new DataError(`${where}: has the id ${row.id} of ${before}; ids must be unique`);
        places.set(row.id, where);
        all.push(row);
      }
      if (left > 0) warn?.(`${spec.name}: rows left out because they have no test case: ${left}`);
      const selected = select(all, split, spec);
      const chosenIds = new Set(selected.map(({ id }) => id));
      const leftOut = split === null ? all.flatMap(({ id }) => (chosenIds.has(id) ? [] : [id])) : [];
      return { ...spec.build(selected, chosen, all), leftOut };
    },
  };
}

function choosePrompt<Prompt extends string>(
  { name, prompts = [] }: { readonly name: string; readonly prompts?: readonly Prompt[] },
  given: string | null,
): Prompt | undefined {
  if (given === null) return undefined;
  const prompt = prompts.find((known) => known === given);
  if (prompt) return prompt;
  const meant = nearest(given, prompts);
  const known = prompts.length > 0 ? `must be one of ${prompts.join(', ')}` : 'is fixed, leave it out';
  throw new ConfigError(
    `prompt of ${name} ${known}; got ${JSON.stringify(given)}${meant ? `, is it ${meant}?` : ''}`,
  );
}

function select<Row extends { readonly id: string }>(
  all: Row[],
  split: string | null,
  {
    name,
    mbppIds = false,
    defaultSplit = 'all',
  }: Pick<ShapeSpec<Row, never>, 'name' | 'mbppIds' | 'defaultSplit'>,
): Row[] {
  // An APPS folder was chosen by its split already.
  const text = name === 'apps' && (split === 'train' || split === 'test') ? 'all' : (split ?? defaultSplit);
  const accepts = parseSplit(text, mbppIds);
  const rows = all.filter(({ id }) => accepts(id));
  if (rows.length > 0) return rows;
  if (split === null || all.length === 0) return all;
  const numbers = all.map(({ id }) => taskNumber(id));
  const [least, most] = numbers.reduce(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, 0]);
  throw new DataError(`${name}: split ${split} selects no row; its task ids are ${least} to ${most}`);
}
