import type { Benchmark } from '../benchmark.ts';
import { DataError } from '../errors.ts';
import { id, optionalText, type RawRow, text } from './fields.ts';
import { fromRows, sourceOf } from './from-rows.ts';
import { javaProgram, javaPrompt } from './java-program.ts';

/** A row of MBXP. */
export interface MbxpRow {
  readonly id: string;
  readonly prompt: string;
  readonly test: string;
  readonly canonical: string | null;
}

/** A completion closes its method and its class; it ends before the next thing at the start of a line. */
const stop = [
  '\nclass',
  '\npublic',
  '\ninterface',
  '\nenum',
  '\nimport',
  '\npackage',
  '\n//',
  '\n/*',
  '\n```',
];

/** What every completion ends with: it closes the method and the class. */
const closing = '    }\n}';

/**
 * A row of `{task_id, language, prompt, entry_point, test, canonical_solution?}` in Java. Throws DataError.
 */
export function readMbxpRow(row: RawRow, where: string): MbxpRow {
  const language = text(row, 'language', where);
  if (language !== 'java') {
    throw new DataError(`${where}: MBXP in ${JSON.stringify(language)} cannot be judged, only in java`);
  }
  return {
    id: id(row, 'task_id', where),
    prompt: javaPrompt(text(row, 'prompt', where), where),
    test: text(row, 'test', where),
    canonical: optionalText(row, 'canonical_solution', where),
  };
}

/**
 * MBPP in Java (Athiwaratkun et al. 2022): a program is prompt + completion + test, whose class is `Main`.
 */
export function mbxpJava(rows: readonly MbxpRow[]): Benchmark {
  return fromRows({
    name: 'mbxp:java',
    options: { stop },
    rows,
    problem: ({ id: task, prompt, canonical }) => ({
      id: task,
      language: 'java',
      prompt,
      stop,
      canonical,
      empty: `        throw new UnsupportedOperationException();\n${closing}`,
    }),
    program: ({ prompt, test }, problem, answer) => {
      const source = sourceOf(problem, answer);
      return javaProgram({
        prompt,
        source,
        tests: `${closing}${test}`,
        mainClass: 'Main',
        whole: source + test,
      });
    },
  });
}
