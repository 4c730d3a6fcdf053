import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { cppProgram } from '../cpp/cpp-program.ts';
import { javaProgram } from '../java/java-program.ts';
import { javascriptProgram } from '../javascript/javascript-program.ts';
import type { Program } from '../program.ts';
import { type Verdict, verdicts } from '../verdict.ts';
import { writeOut } from './repeats.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/attacks');

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
  'shared-state',
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
  'poisoned-compiler',
  'recursion',
  'time',
  'hostile-values',
] as const;
export type Family = (typeof families)[number];

/** The languages of attacks; each has a folder of its name. */
export const attackLanguages = ['python', 'java', 'javascript', 'cpp'] as const;
export type AttackLanguage = (typeof attackLanguages)[number];

/** A hostile program, as a completion of one of the attacks' own problems. Only ever run it in a sandbox. */
export interface Attack {
  /** Its file: `python/exit-zero.py`. */
  readonly file: string;
  readonly language: AttackLanguage;
  readonly note: string;
  readonly family: Family;
  /** Name of one of its language's problems. */
  readonly problem: string;
  /** The verdicts that are right; just `passed` for a control, never `passed` for another. */
  readonly verdicts: readonly Verdict[];
  /** Seconds that it has to come to one of them: two, if its header does not say more. */
  readonly seconds: number;
  /** The completion: the file without its header, its repetitions written out. */
  readonly text: string;
}

/** A problem that attacks answer: the function or method of its name. */
export interface AttackProblem {
  readonly prompt: string;
  readonly solution: string;
  readonly tests: string;
}

/** The problems of the attacks, by language and name. */
export const attackProblems: Readonly<Record<AttackLanguage, Readonly<Record<string, AttackProblem>>>> =
  JSON.parse(readFileSync(join(fixtures, 'problems.json'), 'utf8'));

const comment = { python: '#', java: '//', javascript: '//', cpp: '//' } as const;
const ending = { python: '.py', java: '.java', javascript: '.js', cpp: '.cpp' } as const;

/** All attacks, by language and name. Throws what `readAttack` throws. */
export function readAttacks(): Attack[] {
  return attackLanguages.flatMap((language) =>
    readdirSync(join(fixtures, language))
      .sort()
      .map((file) => readAttack(language, file, readFileSync(join(fixtures, language, file), 'utf8'))),
  );
}

/**
 * The attack in a file of this name and content, which begins with four lines of comment: what it does, its
 * family, its problem, the verdicts that are right and, if it needs more, its seconds. Throws DataError,
 * which names the file, where one of them is missing or wrong.
 */
export function readAttack(language: AttackLanguage, name: string, content: string): Attack {
  const file = `${language}/${name}`;
  const refuse: (claim: string) => never = (claim) => {
    throw new DataError(`${file}: ${claim}`);
  };
  if (!/^[a-z\d]+(-[a-z\d]+)*\.\w+$/.test(name) || !name.endsWith(ending[language])) {
    refuse(`must be named in kebab-case and end in ${ending[language]}`);
  }
  const mark = comment[language];
  const header = ['(\\S.*\\S)', 'family: (\\S+)', 'problem: (\\S+)', 'verdicts: (\\S.*)'];
  const lines = header.map((line) => `${mark} ${line}\n`).join('');
  const match = new RegExp(`^${lines}(?:${mark} seconds: (\\d+)\n)?`).exec(content);
  if (!match)
    refuse(`must begin with "${mark} WHAT IT DOES" and its family, problem and verdicts, a line each`);
  const [whole, note, family, problem, list, seconds = '2'] = match;
  if (!isFamily(family)) refuse(`unknown family ${family}; known are ${families.join(', ')}`);
  if (!Object.hasOwn(attackProblems[language], problem)) refuse(`there is no ${language} problem ${problem}`);
  const right = list.split(', ') as Verdict[];
  const possible = verdicts.filter((verdict) =>
    family === 'control' ? verdict === 'passed' : verdict !== 'passed' && verdict !== 'missing',
  );
  if (new Set(right).size < right.length || !right.every((verdict) => possible.includes(verdict))) {
    refuse(`verdicts must be of ${possible.join(', ')}, each once; got ${list}`);
  }
  return {
    file,
    language,
    note,
    family,
    problem,
    verdicts: right,
    seconds: Number(seconds),
    text: writeOut(content.slice(whole.length)),
  };
}

const isFamily = (word: string): word is Family => families.includes(word as Family);

/** The program that an attack makes. */
export function attackProgram({ language, problem, text }: Attack): Program {
  const { prompt, tests } = attackProblems[language][problem];
  const source = prompt + text;
  if (language === 'java') {
    return javaProgram({ prompt, source, tests, mainClass: 'Problem', whole: `${source}\n${tests}` });
  }
  if (language === 'cpp') return cppProgram({ prompt, source, tests });
  if (language === 'javascript') return javascriptProgram({ source, tests });
  const code = `${tests}\ncheck(${problem})\n`;
  return {
    language: 'py',
    source,
    tests: { kind: 'python-calls', setup: prompt, code, entryPoints: [problem], inProcess: `\n${code}` },
  };
}
