import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { z } from 'zod';

const fixtures = join(import.meta.dirname, '../../fixtures/java-solutions');

/** A completion that solves a problem of MultiPL-E's HumanEval in Java, by the problem's name. */
export interface JavaSolution {
  readonly problem: string;
  readonly text: string;
}

/** All solutions, by name. Throws DataError where one is empty or holds the stop text of MultiPL-E's Java. */
export function readJavaSolutions(folder = fixtures): JavaSolution[] {
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

/** A small edit of a solution, after which it compiles and fails its tests; `find` occurs in it exactly once. */
const sabotageSchema = z.strictObject({ problem: z.string(), find: z.string(), replace: z.string() });
export type Sabotage = Readonly<z.infer<typeof sabotageSchema>>;

/** All sabotages. Throws DataError where one does not change exactly one place of a solution. */
export function readSabotages(folder = fixtures): Sabotage[] {
  const solutions = new Map(readJavaSolutions(folder).map(({ problem, text }) => [problem, text]));
  const rows = JSON.parse(readFileSync(join(folder, 'sabotages.json'), 'utf8')) as unknown[];
  return rows.map((row, i) => {
    const where = `sabotages.json[${i}]`;
    const { data: sabotage, error } = sabotageSchema.safeParse(row);
    if (error) throw new DataError(`${where}: ${error.issues[0].message}`);
    const { problem, find, replace } = sabotage;
    const parts = solutions.get(problem)?.split(find).length;
    if (parts === undefined) throw new DataError(`${where}: there is no solution of ${problem}`);
    if (parts !== 2 || find === replace) {
      throw new DataError(`${where}: ${JSON.stringify(find)} must occur once in the solution, and change`);
    }
    return sabotage;
  });
}
