import { DataError, nearestName, oneLine, show } from '@flex/base';
import { has, id, type JsonRow, type Members, rawRow, text, texts } from '@flex/datasets';
import type { Completion, Problem } from './benchmark.ts';
import { readSampleRows } from './sample-rows.ts';

/** One of a problem's samples: a completion, and the row that it has in samples.jsonl. */
export interface Sample {
  readonly problem: Problem;
  readonly completion: Completion;
  /**
   * A file's row as it was; for one of several completions in a row, `{task_id, completion}` or
   * `{task_id, program}`.
   */
  readonly row: Members;
}

/** Keys that hold a completion, and what each holds. Evalplus's `solution` is a whole program. */
const completionKeys = { completion: 'completion', program: 'program', solution: 'program' } as const;

/**
 * The samples of a file of JSON Lines or of one JSON list, gzipped or not, or of a folder, one at a time. The
 * rows may be
 *
 * - `{task_id, completion}`, `{task_id, program}` or evalplus's `{task_id, solution}`, whose ids may be
 *   `Mbpp/11`;
 * - MultiPL-E's `{name, completions: […]}`, a sample for each completion, in a file or in a folder of files;
 * - evalplus's folder of folders of programs;
 * - lists of whole programs, one list a problem in the problems' order (bigcode's generations.json);
 * - rows that were judged before: their judgement says nothing, and those of the verdict `missing` are
 *   skipped.
 *
 * Throws DataError with file and line for a malformed row and an unknown id, and where there is no row at
 * all.
 */
export async function* readSamples(path: string, problems: readonly Problem[]): AsyncGenerator<Sample> {
  const find = finder(problems);
  let position = 0;
  for await (const row of readSampleRows(path)) {
    yield* Array.isArray(row.value) ? programsOf(row, problems, position) : samplesOf(row, find);
    position++;
  }
  if (position === 0) throw new DataError(`${path}: has no rows; a row is {"task_id", "completion"}`);
}

/** How many of these ids a file of samples names. */
export async function countNamed(path: string, ids: readonly string[]): Promise<number> {
  const left = new Set(ids.map(simple));
  const all = left.size;
  for await (const { value } of readSampleRows(path)) {
    const given = (value as { task_id?: unknown } | null)?.task_id;
    if (given !== undefined) left.delete(simple(String(given)));
  }
  return all - left.size;
}

/** The sample of a text after a problem's prompt, with a row of its own. */
export function completionSample(problem: Problem, text: string): Sample {
  const row = { task_id: problem.id, completion: text };
  return { problem, completion: { kind: 'completion', text }, row };
}

type Find = (given: string, where: string) => Problem;

function* samplesOf(json: JsonRow, find: Find): Generator<Sample> {
  const raw = rawRow(json);
  const { value: row, where } = raw;
  if (has(row, 'completions')) {
    const problem = find(id(raw, has(row, 'task_id') ? 'task_id' : 'name'), where);
    for (const text of texts(raw, 'completions')) yield completionSample(problem, text);
    return;
  }
  const problem = find(id(raw, 'task_id'), where);
  const keys = (Object.keys(completionKeys) as (keyof typeof completionKeys)[]).filter((key) =>
    has(row, key),
  );
  if (keys.length === 0 && row.verdict === 'missing') return;
  if (keys.length !== 1) throw new DataError(`${where}: ${completionTrouble(row, keys)}`);
  yield { problem, completion: { kind: completionKeys[keys[0]], text: text(raw, keys[0]) }, row };
}

function completionTrouble(row: Members, keys: readonly string[]): string {
  if (keys.length > 1) return `has ${keys.join(' and ')}, of which a row may have one`;
  const known = Object.keys(completionKeys).join(', ');
  for (const key of Object.keys(row)) {
    const meant = nearestName(key, Object.keys(completionKeys));
    if (meant) return `has none of ${known}; is ${show(key)} meant to be ${meant}?`;
  }
  return `has none of ${known}; its keys are ${oneLine(Object.keys(row).join(', '))}`;
}

function* programsOf(
  { value, where }: JsonRow,
  problems: readonly Problem[],
  position: number,
): Generator<Sample> {
  const problem = problems[position];
  if (!problem) {
    throw new DataError(
      `${where}: is list ${position + 1}, and there are ${problems.length} problems; one list each`,
    );
  }
  for (const program of value as readonly unknown[]) {
    if (typeof program !== 'string') {
      throw new DataError(`${where}: a list must hold programs as texts, got ${show(program)}`);
    }
    const completion: Completion = { kind: 'program', text: program };
    yield { problem, completion, row: { task_id: problem.id, program } };
  }
}

/** Finds a problem by its id, also with `Mbpp/` before it or zeros before its number. */
function finder(problems: readonly Problem[]): Find {
  const byId = new Map(problems.map((problem) => [problem.id, problem]));
  const bySimple = new Map(problems.map((problem) => [simple(problem.id), problem]));
  return (given, where) => {
    const problem = byId.get(given) ?? bySimple.get(simple(given));
    if (problem) return problem;
    // The nearest number is no likely meaning of a number.
    const meant = /^\d+$/.test(given) ? undefined : nearestName(given, byId.keys());
    const hint = meant ? `is it ${meant}?` : `ids are like ${[...byId.keys()].slice(0, 3).join(', ')}`;
    throw new DataError(`${where}: unknown task id ${show(given)}; ${hint}`);
  };
}

function simple(given: string): string {
  const id = given.replace(/^mbpp\//i, '');
  return /\D/.test(id) ? id : id.replace(/^0+(?=.)/, '');
}
