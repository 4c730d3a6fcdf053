import type { Answer, Benchmark } from '../benchmark.ts';
import { DataError } from '../errors.ts';
import { type Language, languages } from '../language.ts';
import { id, optionalTexts, type RawRow, text } from './fields.ts';
import { fromRows, sourceOf } from './from-rows.ts';
import { isClosedJava, javaProgram, javaPrompt } from './java-program.ts';

/** A row of MultiPL-E. */
export interface MultiplERow {
  readonly id: string;
  readonly language: Language;
  readonly prompt: string;
  readonly tests: string;
  readonly stop: readonly string[];
}

/** The languages that can be judged. */
export const multiplELanguages: readonly Language[] = languages;

/**
 * Completions that do nothing, or where the types forbid that throw; closed only where the tests do not
 * close.
 */
const emptyCompletions: Readonly<Record<Language, string>> = {
  py: '    return None\n',
  java: '        throw new UnsupportedOperationException();',
  js: '}\n',
  ts: '  throw new Error();\n}\n',
  cpp: '    throw 0;',
  rs: '    unimplemented!()',
  pl: '}\n',
  rb: 'end\n',
  php: '}\n',
  lua: 'end\n',
  sh: '    :',
  r: '}\n',
  go: '    panic(0)\n}\n',
  rkt: '  (void))\n',
};

/**
 * A row of `{name or task_id, language, prompt, tests, stop_tokens}`; the language may be written with a
 * file's ending, as `go_test.go`. Throws DataError, also for a language that cannot be judged.
 */
export function readMultiplERow(row: RawRow, where: string): MultiplERow {
  const given = text(row, 'language', where);
  const language = languages.find((known) => known === given.replace(/_test\.go$/, ''));
  if (!language) {
    const known = languages.join(', ');
    throw new DataError(
      `${where}: language ${JSON.stringify(given)} cannot be judged; it must be one of ${known}`,
    );
  }
  const stop = optionalTexts(row, 'stop_tokens', where);
  if (stop.includes(''))
    throw new DataError(`${where}: stop_tokens holds an empty text, which would stop at once`);
  const prompt = text(row, 'prompt', where);
  return {
    id: id(row, 'name', where),
    language,
    prompt: language === 'java' ? javaPrompt(prompt, where) : prompt,
    tests: text(row, 'tests', where),
    stop,
  };
}

/**
 * MultiPL-E (Cassano et al. 2022). A program is prompt + completion + newline + tests, as its publisher's.
 * Where the tests begin with what a stop text ends, such as Java's `    }`, the completion is without it; one
 * that still ends with it is taken as if it did not. Java runs apart from its tests, other languages with
 * them. Throws DataError for rows of several languages.
 */
export function multiplE(rows: readonly MultiplERow[]): Benchmark {
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
      empty: emptyCompletions[language],
    }),
    program: (row, problem, answer) => {
      const { language, prompt, tests } = row;
      const source = sourceOf(problem, withoutStop(row, answer));
      if (language !== 'java') return { language, source, tests: { kind: 'appended', code: `\n${tests}` } };
      // A whole program may have closed the class that the tests go into.
      const whole = answer.kind === 'program' && isClosedJava(source) ? null : `${source}\n${tests}`;
      return javaProgram({ prompt, source, tests, mainClass: 'Problem', whole });
    },
  });
}

/** The answer without a stop text at its end that the tests begin with. */
function withoutStop({ stop, tests }: MultiplERow, { kind, text: given }: Answer): Answer {
  for (const token of stop) {
    if (!tests.startsWith(token.slice(1))) continue;
    const at = given.lastIndexOf(token);
    if (at >= 0 && given.slice(at + token.length).trim() === '') return { kind, text: given.slice(0, at) };
  }
  return { kind, text: given };
}
