import { DataError, show } from '@flex/base';
import type { MbxpRow } from '@flex/datasets';
import { javaProgram, javaPrompt } from '@flex/judge';
import type { Benchmark } from '../benchmark.ts';
import { fromRows, type Identified, sourceOf } from './from-rows.ts';

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

/** A row of MBXP in Java. */
export interface MbxpJavaRow extends Identified<Pick<MbxpRow, 'id' | 'prompt' | 'canonical'>> {
  readonly test: string;
}

/** The row, if it is in Java and has tests. Throws DataError. */
export function mbxpJavaRow({ language, test, ...row }: Identified<MbxpRow>, where: string): MbxpJavaRow {
  if (language !== 'java') {
    throw new DataError(`${where}: MBXP in ${show(language)} cannot be judged, only in java`);
  }
  if (test === null) throw new DataError(`${where}: has no test, which must be a text`);
  return { ...row, prompt: javaPrompt(row.prompt, where), test };
}

/**
 * MBPP in Java (Athiwaratkun et al. 2022): a program is prompt + completion + test, whose class is `Main`.
 */
export function mbxpJava(rows: readonly MbxpJavaRow[]): Benchmark {
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
    program: ({ prompt, test }, problem, completion) => {
      const source = sourceOf(problem, completion);
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
