import { DataError } from '@flex/base';
import { describe, expect, test } from 'vitest';
import { attackLanguages, attackProblems, families, readAttack, readAttacks } from './attacks.ts';

describe('the attacks', () => {
  const attacks = readAttacks();
  const inLanguage = (language: string) => attacks.filter((attack) => attack.language === language);
  test('are at least 40 in each language', () => {
    for (const language of attackLanguages) {
      const hostile = inLanguage(language).filter(({ family }) => family !== 'control');
      expect(hostile.length).toBeGreaterThanOrEqual(40);
    }
  });
  test('have members in every family, and controls in every language', () => {
    expect(families.filter((name) => !attacks.some(({ family }) => family === name))).toEqual([]);
    for (const language of attackLanguages) {
      const controls = inLanguage(language).filter(({ family }) => family === 'control');
      expect(controls.length).toBeGreaterThanOrEqual(8);
    }
  });
  test('try every problem', () => {
    const tried = new Set(attacks.map(({ language, problem }) => `${language}/${problem}`));
    const names = Object.entries(attackProblems).flatMap(([language, problems]) =>
      Object.keys(problems).map((name) => `${language}/${name}`),
    );
    expect(names.filter((name) => !tried.has(name))).toEqual([]);
  });
  test('are all different, and none is its problem solved plainly', () => {
    const texts = attacks.map(({ language, problem, text }) => `${language} ${problem}\n${text}`);
    expect(new Set(texts).size).toBe(attacks.length);
    const plain = attacks.filter(
      ({ language, problem, text }) => text === attackProblems[language][problem].solution,
    );
    expect(plain).toEqual([]);
  });
  test('leave only marked names outside their process', () => {
    const path = /(['"`])(\/(?:tmp|dev\/shm|var\/tmp)\/[^'"`*{]+)/g;
    const unmarked = attacks.flatMap(({ file, text }) =>
      [...text.matchAll(path)]
        .filter(([, , found]) => !/^\/(tmp|dev\/shm|var\/tmp)\/(flex-attack-|\.X11-unix|dbus-)/.test(found))
        .map(([, , found]) => `${file}: ${found}`),
    );
    expect(unmarked).toEqual([]);
  });
  test('do not end in the stop text of Java, which would cut them', () => {
    const cut = inLanguage('java').filter(({ text }) => `\n${text}`.includes('\n    }\n'));
    expect(cut.map(({ file }) => file)).toEqual([]);
  });
});

describe("an attack's header", () => {
  const lines = {
    note: 'Ends the process.',
    family: 'forged-exit',
    problem: 'add',
    verdicts: 'failed, memory',
  };
  const content = ({ note, family, problem, verdicts }: typeof lines, mark = '#') =>
    [note, `family: ${family}`, `problem: ${problem}`, `verdicts: ${verdicts}`]
      .map((line) => `${mark} ${line}\n`)
      .concat('    exit(0)\n')
      .join('');

  test('says what it is, and is no part of the program', () => {
    const facts = { file: 'java/exit.java', language: 'java', verdicts: ['failed', 'memory'] };
    const attack = readAttack('java', 'exit.java', content(lines, '//'));
    expect(attack).toEqual({ ...lines, ...facts, seconds: 2, text: '    exit(0)\n' });
    const slow = content({ ...lines, verdicts: `${lines.verdicts}\n// seconds: 20` }, '//');
    expect(readAttack('java', 'exit.java', slow)).toEqual({ ...attack, seconds: 20 });
  });

  test.each<[string, Partial<typeof lines>, RegExp]>([
    ['without a sentence', { note: '' }, /must begin with "# WHAT IT DOES"/],
    ['without a family', { family: '' }, /must begin with "# WHAT IT DOES"/],
    ['without a verdict', { verdicts: '' }, /must begin with "# WHAT IT DOES"/],
    ['with a sentence of two lines', { note: 'a\nb' }, /must begin with "# WHAT IT DOES"/],
    ['with an unknown family', { family: 'magic' }, /unknown family magic; known are control/],
    ['with an unknown problem', { problem: 'sub' }, /no python problem sub/],
    ['with a problem of Java', { problem: 'ends' }, /no python problem ends/],
    [
      'with an unknown verdict',
      { verdicts: 'crashed' },
      /verdicts must be of failed, compile_error, .*; got crashed/,
    ],
    ['with a pass', { verdicts: 'failed, passed' }, /got failed, passed/],
    ['with a missing completion', { verdicts: 'missing' }, /got missing/],
    ['with a verdict twice', { verdicts: 'failed, failed' }, /got failed, failed/],
    ['with a control that fails', { family: 'control' }, /verdicts must be of passed, each once/],
    ['with a control that may fail', { family: 'control', verdicts: 'passed, failed' }, /must be of passed,/],
  ])('is refused %s', (_, change, message) => {
    const read = () => readAttack('python', 'exit.py', content({ ...lines, ...change }));
    expect(read).toThrow(DataError);
    expect(read).toThrow(message);
    expect(read).toThrow(/^python\/exit\.py: /);
  });

  test('is refused where there is none, in comments of another language, and under a wrong name', () => {
    const bare = () => readAttack('python', 'exit.py', '    exit(0)\n');
    expect(bare).toThrow(/^python\/exit\.py: must begin with "# WHAT/);
    const foreign = () => readAttack('java', 'exit.java', content(lines));
    expect(foreign).toThrow(/^java\/exit\.java: must begin with "\/\/ WHAT/);
    for (const name of ['Exit.py', 'exit.java', '.py']) {
      const read = () => readAttack('python', name, content(lines));
      expect(read).toThrow('must be named in kebab-case and end in .py');
    }
  });
});
