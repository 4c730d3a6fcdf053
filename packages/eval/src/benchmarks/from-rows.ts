import { ConfigError, DataError, digestRows, show } from '@flex/base';
import type { Program } from '@flex/judge';
import type { Benchmark, Completion, Problem } from '../benchmark.ts';

/** A row that has an id. */
export type Identified<Row> = Row & { readonly id: string };

/** Says how rows become problems, and completions programs. */
export interface FromRows<Row extends { readonly id: string }> {
  readonly name: string;
  /** Further options; the digest of the data is added as `data`. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly rows: readonly Row[];
  /** Further rows that decide scores, such as examples in prompts: they count in the digest. */
  readonly examples?: readonly Row[];
  readonly problem: (row: Row) => Problem;
  readonly program: (row: Row, problem: Problem, completion: Completion) => Program;
  /** As `Benchmark.base`. */
  readonly base?: (row: Row, problem: Problem, completion: Completion) => Program;
}

/** The benchmark of these rows. Throws DataError where two have the same id, and where there are none. */
export function fromRows<Row extends { readonly id: string }>(spec: FromRows<Row>): Benchmark {
  const { name, rows, examples = [], problem, program, base } = spec;
  if (rows.length === 0) throw new DataError(`${name}: has no rows`);
  const byId = new Map<string, Row>();
  for (const row of rows) {
    if (byId.has(row.id))
      throw new DataError(`${name}: two rows have the id ${show(row.id)}; ids must be unique`);
    byId.set(row.id, row);
  }
  const rowOf = (task: Problem) => {
    const row = byId.get(task.id);
    if (!row) throw new ConfigError(`${name}: has no problem ${task.id}`);
    return row;
  };
  return {
    name,
    options: { ...spec.options, data: digestRows([...examples, ...rows]) },
    async *problems() {
      for (const row of rows) yield problem(row);
    },
    program: (task, completion) => program(rowOf(task), task, completion),
    ...(base && { base: (task, completion) => base(rowOf(task), task, completion) }),
  };
}

/** The candidate's whole source: the prompt and the completion after it, or the program itself. */
export function sourceOf(problem: Problem, { kind, text }: Completion): string {
  return kind === 'program' ? text : problem.prompt + text;
}
