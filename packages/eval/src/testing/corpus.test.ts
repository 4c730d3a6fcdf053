import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DataError } from '../errors.ts';
import { families, readAttackProblems, readAttacks, readJavaSolutions, readSabotages } from './corpus.ts';
import { temporaryFolder } from './temporary-folder.ts';

const fixtures = join(import.meta.dirname, '../../fixtures');
const shared = join(import.meta.dirname, '../../../../../shared/data/multipl-e/humaneval-java.jsonl');

describe('the Java solutions', () => {
  const solutions = readJavaSolutions();
  test('are at least 45, of different problems', () => {
    expect(solutions.length).toBeGreaterThanOrEqual(45);
    expect(new Set(solutions.map(({ problem }) => problem)).size).toBe(solutions.length);
  });
  test('are all sabotaged, in one or two ways', () => {
    const counts = new Map(solutions.map(({ problem }) => [problem, 0]));
    for (const { problem } of readSabotages()) counts.set(problem, (counts.get(problem) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count < 1 || count > 2)).toEqual([]);
  });
  test.skipIf(!existsSync(shared))(`answer published problems: ${solutions.length} of them`, () => {
    const rows = readFileSync(shared, 'utf8').trim().split('\n');
    const published = new Set(rows.map((row) => JSON.parse(row).name));
    expect(solutions.filter(({ problem }) => !published.has(problem))).toEqual([]);
  });
});

describe('the attacks', () => {
  const attacks = readAttacks();
  const problems = readAttackProblems();
  const inLanguage = (language: string) => attacks.filter((attack) => attack.language === language);
  test('are at least 40 in each language', () => {
    for (const language of ['py', 'java']) {
      const hostile = inLanguage(language).filter(({ family }) => family !== 'control');
      expect(hostile.length).toBeGreaterThanOrEqual(40);
    }
  });
  test('have members in every family, and controls in both languages', () => {
    expect(families.filter((name) => !attacks.some(({ family }) => family === name))).toEqual([]);
    for (const language of ['py', 'java']) {
      const controls = inLanguage(language).filter(({ family }) => family === 'control');
      expect(controls.length).toBeGreaterThanOrEqual(8);
    }
  });
  test('try every problem', () => {
    const tried = new Set(attacks.map(({ problem }) => problem));
    expect([...problems.canonical.keys()].filter((id) => !tried.has(id))).toEqual([]);
  });
  test('are all different, and none is its problem solved plainly', () => {
    const texts = attacks.map(({ problem, text }) => `${problem}\n${text}`);
    expect(new Set(texts).size).toBe(attacks.length);
    const plain = attacks.filter(({ problem, text }) => text === problems.canonical.get(problem));
    expect(plain).toEqual([]);
  });
  test('leave only marked names outside their process', () => {
    const path = /(['"`])(\/(?:tmp|dev\/shm|var\/tmp)\/[^'"`*{]+)/g;
    const unmarked = attacks.flatMap(({ name, text }) =>
      [...text.matchAll(path)]
        .filter(([, , found]) => !/^\/(tmp|dev\/shm|var\/tmp)\/(flex-attack-|\.X11-unix|dbus-)/.test(found))
        .map(([, , found]) => `${name}: ${found}`),
    );
    expect(unmarked).toEqual([]);
  });
  test('do not end in the stop text of Java, which would cut them', () => {
    expect(inLanguage('java').filter(({ text }) => `\n${text}`.includes('\n    }\n'))).toEqual([]);
  });
});

/** A copy of the fixtures in which one file is changed. */
function withChange(folder: string, file: string, change: (content: string) => string): string {
  const copy = temporaryFolder();
  cpSync(join(fixtures, folder), copy, { recursive: true });
  writeFileSync(join(copy, file), change(readFileSync(join(copy, file), 'utf8')));
  return copy;
}

// biome-ignore lint/suspicious/noExplicitAny: members of any kind are put in on purpose
type Entry = Record<string, any>;
const entry = (change: (first: Entry) => unknown) => (content: string) => {
  const list = JSON.parse(content) as Entry[];
  change(list[0]);
  return JSON.stringify(list);
};

describe('an index of attacks is refused', () => {
  test.each<[string, (first: Entry) => unknown, RegExp]>([
    ['with an unknown member', (a) => Object.assign(a, { notes: '' }), /unknown member notes/],
    ['without a member', (a) => delete a.note, /has no note/],
    ['with a name of capitals', (a) => Object.assign(a, { name: 'Exit' }), /kebab-case/],
    ['with an unknown family', (a) => Object.assign(a, { family: 'magic' }), /must be one of control/],
    ['with an unknown language', (a) => Object.assign(a, { language: 'js' }), /must be one of py, java/],
    [
      'with an unknown problem',
      (a) => Object.assign(a, { problem: 'python/sub' }),
      /no py problem python\/sub/,
    ],
    ['with a problem of Java', (a) => Object.assign(a, { problem: 'java/add' }), /no py problem java\/add/],
    ['with another file', (a) => Object.assign(a, { file: 'python/x.py' }), /file must be python\/exit-zero/],
    ['with an unknown verdict', (a) => Object.assign(a, { verdicts: ['crashed'] }), /must be one of passed/],
    ['with no verdict', (a) => Object.assign(a, { verdicts: [] }), /cannot be right/],
    ['with a pass', (a) => Object.assign(a, { verdicts: ['failed', 'passed'] }), /cannot be right/],
    ['with a missing answer', (a) => Object.assign(a, { verdicts: ['missing'] }), /cannot be right/],
    ['with a verdict twice', (a) => Object.assign(a, { verdicts: ['failed', 'failed'] }), /cannot be right/],
    ['with a control that fails', (a) => Object.assign(a, { family: 'control' }), /cannot be right/],
    [
      'with a control that may fail',
      (a) => Object.assign(a, { family: 'control', verdicts: ['passed', 'failed'] }),
      /cannot be right/,
    ],
    ['with a note of two lines', (a) => Object.assign(a, { note: 'a\nb' }), /one line/],
    ['with an empty note', (a) => Object.assign(a, { note: '' }), /one line/],
  ])('%s', (_, change, message) => {
    const folder = withChange('attacks', 'attacks.json', entry(change));
    expect(() => readAttacks(folder)).toThrow(DataError);
    expect(() => readAttacks(folder)).toThrow(message);
  });
  test.each<[string, (content: string) => string, RegExp]>([
    ['that is no JSON', () => '[', /is not JSON/],
    ['that is no list', () => '{}', /must be a list/],
    ['of other things', () => '[1]', /must be a JSON object/],
    [
      'that leaves a program out',
      (c) => JSON.stringify(JSON.parse(c).slice(1)),
      /exit-zero.py: attacks.json/,
    ],
    ['that lists one twice', (c) => `[${c.slice(1, -2)},${c.slice(1)}`, /exit-zero comes twice/],
  ])('%s', (_, change, message) => {
    const folder = withChange('attacks', 'attacks.json', change);
    expect(() => readAttacks(folder)).toThrow(DataError);
    expect(() => readAttacks(folder)).toThrow(message);
  });
  test('whose program is gone', () => {
    const folder = withChange('attacks', 'attacks.json', (content) => content);
    rmSync(join(folder, 'python/exit-zero.py'));
    expect(() => readAttacks(folder)).toThrow(/ENOENT/);
  });
});

describe('problems of attacks are refused', () => {
  test.each<[string, (lists: Record<string, Entry[]>) => unknown, RegExp]>([
    ['in a third language', (p) => Object.assign(p, { lua: [] }), /unknown member lua/],
    ['without a list', (p) => delete p.java, /java must be a list/],
    [
      'with an id of the other language',
      (p) => Object.assign(p.java[0], { name: 'python/x' }),
      /begin with java/,
    ],
    ['with an id twice', (p) => p.python.push(p.python[0]), /python\/add comes twice/],
    ['without a solution', (p) => delete p.python[0].canonical_solution, /has no canonical_solution/],
    ['without tests', (p) => delete p.java[0].tests, /has no tests/],
  ])('%s', (_, change, message) => {
    const folder = withChange('attacks', 'problems.json', (content) => {
      const lists = JSON.parse(content);
      change(lists);
      return JSON.stringify(lists);
    });
    expect(() => readAttackProblems(folder)).toThrow(DataError);
    expect(() => readAttackProblems(folder)).toThrow(message);
  });
});

describe('sabotages are refused', () => {
  test.each<[string, (first: Entry) => unknown, RegExp]>([
    ['that change nothing', (s) => Object.assign(s, { replace: s.find }), /and change/],
    ['that find nothing', (s) => Object.assign(s, { find: 'nowhere' }), /must occur once/],
    ['that find two places', (s) => Object.assign(s, { find: 'n' }), /must occur once/],
    ['that find the empty text', (s) => Object.assign(s, { find: '' }), /must occur once/],
    ['of no solution', (s) => Object.assign(s, { problem: 'HumanEval_0' }), /no solution of HumanEval_0/],
    ['with an unknown member', (s) => Object.assign(s, { note: '' }), /unknown member note/],
    ['without a replacement', (s) => delete s.replace, /has no replace/],
  ])('%s', (_, change, message) => {
    const folder = withChange('java-solutions', 'sabotages.json', entry(change));
    expect(() => readSabotages(folder)).toThrow(DataError);
    expect(() => readSabotages(folder)).toThrow(message);
  });
  test('that come twice', () => {
    const twice = (content: string) => `[${content.slice(1, content.lastIndexOf(']'))},${content.slice(1)}`;
    const folder = withChange('java-solutions', 'sabotages.json', twice);
    expect(() => readSabotages(folder)).toThrow(/comes twice/);
  });
});

describe('solutions are refused', () => {
  test.each([
    ['that are empty', 'HumanEval_1_separate_paren_groups.java', () => '\n'],
    ['that close their method', 'HumanEval_1_separate_paren_groups.java', (c: string) => `${c}    }\n`],
  ])('%s', (_, file, change) => {
    const folder = withChange('java-solutions', file, change);
    expect(() => readJavaSolutions(folder)).toThrow(/must be a completion/);
  });
  test('under other names', () => {
    const folder = withChange('java-solutions', 'sabotages.json', (content) => content);
    writeFileSync(join(folder, 'Notes.java'), '        return 1;\n');
    expect(() => readJavaSolutions(folder)).toThrow(/must be named/);
  });
});
