import { DataError, show } from '@flex/base';
import type { MultiplERow } from '@flex/datasets';
import {
  cppProgram,
  isClosedJava,
  javaProgram,
  javaPrompt,
  javascriptProgram,
  type LanguageId,
  languageIds,
  languageOf,
} from '@flex/judge';
import type { Benchmark, Completion } from '../benchmark.ts';
import { fromRows, type Identified, sourceOf } from './from-rows.ts';

/** A row of MultiPL-E in a language that can be judged. */
export interface JudgedMultiplERow extends Identified<MultiplERow> {
  readonly language: LanguageId;
}

/** The row, if it can be judged. Throws DataError. */
export function judgedMultiplERow(row: Identified<MultiplERow>, where: string): JudgedMultiplERow {
  const language = languageIds.find((known) => known === row.language);
  if (!language) {
    const known = languageIds.join(', ');
    throw new DataError(
      `${where}: language ${show(row.language)} cannot be judged; it must be one of ${known}`,
    );
  }
  return { ...row, language, prompt: language === 'java' ? javaPrompt(row.prompt, where) : row.prompt };
}

/**
 * MultiPL-E (Cassano et al. 2022). A program is prompt + completion + newline + tests, as its publisher's.
 * Where the tests begin with what a stop text ends, such as Java's `    }`, the completion is without it; one
 * that still ends with it is taken as if it did not. Java, JavaScript and C++ run apart from their tests
 * where these can be told apart, other languages with them. Throws DataError for rows of several languages.
 */
export function multiplE(rows: readonly JudgedMultiplERow[]): Benchmark {
  const languages = [...new Set(rows.map(({ language }) => language))];
  if (languages.length > 1) {
    throw new DataError(`multipl-e: rows are of ${languages.join(' and ')}; a file must be of one language`);
  }
  return fromRows({
    name: `multipl-e:${languages[0]}`,
    options: {},
    rows,
    problem: ({ id: task, language, prompt, stop }) => ({
      id: task,
      language,
      prompt,
      stop,
      canonical: null,
      empty: languageOf(language).empty,
    }),
    program: (row, problem, completion) => {
      const { language, prompt, tests } = row;
      const source = sourceOf(problem, withoutStop(row, completion));
      if (language === 'cpp') return cppProgram({ prompt, source, tests });
      if (language === 'js') return javascriptProgram({ source, tests });
      if (language !== 'java') return { language, source, tests: { kind: 'appended', code: `\n${tests}` } };
      // A whole program may have closed the class that the tests go into.
      const whole = completion.kind === 'program' && isClosedJava(source) ? null : `${source}\n${tests}`;
      return javaProgram({ prompt, source, tests, mainClass: 'Problem', whole });
    },
  });
}

/** The completion without a stop text at its end that the tests begin with. */
function withoutStop({ stop, tests }: JudgedMultiplERow, { kind, text: given }: Completion): Completion {
  for (const token of stop) {
    if (!tests.startsWith(token.slice(1))) continue;
    const at = given.lastIndexOf(token);
    if (at >= 0 && given.slice(at + token.length).trim() === '') return { kind, text: given.slice(0, at) };
  }
  return { kind, text: given };
}
