import { DataError } from '@flex/base';
import { collect } from '@flex/base/testing';
import { formats, type MultiplERow } from '@flex/datasets';
import { type JavaCalls, languageIds } from '@flex/judge';
import { describe, expect, test } from 'vitest';
import type { Completion } from '../benchmark.ts';
import type { Identified } from './from-rows.ts';
import { judgedMultiplERow, multiplE } from './multipl-e.ts';

const java = {
  name: 'HumanEval_900_twice',
  language: 'java',
  prompt: 'class Problem {\n    public static long twice(long x) {\n',
  tests: '    }\n    public static void main(String[] args) {\n    assert(twice(2l) == (4l));\n    }\n\n}\n',
  stop_tokens: ['\n    }\n'],
};
const lua = {
  ...java,
  language: 'lua',
  prompt: 'local function twice(x)\n',
  tests: "lu = require('luaunit')\n",
  stop_tokens: ['\nlocal', '\nend'],
};
const read = (value: Readonly<Record<string, unknown>>) => {
  const row = formats.multiplE.read({ value, where: 'rows.jsonl:7', text: '' });
  return judgedMultiplERow(row as Identified<MultiplERow>, 'rows.jsonl:7');
};

async function program(row: Readonly<Record<string, unknown>>, completion: Completion) {
  const benchmark = multiplE([read(row)]);
  const [problem] = await collect(benchmark.problems());
  return benchmark.program(problem, completion);
}
const completion = (text: string): Completion => ({ kind: 'completion', text });

describe('a Java program', () => {
  test('is prompt + completion, with its class closed, apart from the tests', async () => {
    const { language, source, tests } = await program(java, completion('        return 2 * x;'));
    expect(language).toBe('java');
    expect(source.replace(/\s+/g, ' ')).toBe(
      `${java.prompt} return 2 * x; }}`.replace(/\s+/g, ' ').concat(' '),
    );
    const { kind, mainClass, tester, whole } = tests as JavaCalls;
    expect([kind, mainClass]).toEqual(['java-calls', 'Problem']);
    expect(whole).toBe(`${java.prompt}        return 2 * x;\n${java.tests}`);
    expect(tester).not.toContain('2 * x');
    expect(tester.endsWith(java.tests)).toBe(true);
  });

  test.each(['\n    }\n', '\n    }\n\n  \n'])(
    'is the same with the stop text %j at its end',
    async (stop) => {
      const text = '        if (x > 0) {\n            return 2 * x;\n        }\n        return x + x;';
      expect(await program(java, completion(text + stop))).toEqual(await program(java, completion(text)));
    },
  );

  test('keeps a stop text that something follows', async () => {
    const { tests } = await program(java, completion('        return 1;\n    }\n}\n'));
    expect((tests as JavaCalls).whole).toBe(`${java.prompt}        return 1;\n    }\n}\n\n${java.tests}`);
  });

  test('that is whole and closed has no place for the tests; one that is open has', async () => {
    const open = `${java.prompt}        return 2 * x;`;
    const closed = `${open}\n    }\n}\n`;
    const wholes = [];
    for (const text of [closed, open]) {
      const { source, tests } = await program(java, { kind: 'program', text });
      expect(source.replace(/\s/g, '')).toBe(closed.replace(/\s/g, ''));
      wholes.push((tests as JavaCalls).whole);
    }
    expect(wholes).toEqual([null, `${open}\n${java.tests}`]);
  });
});

describe('a program of another language', () => {
  test('has its tests appended, a line further', async () => {
    expect(await program(lua, completion('  return 2 * x\nend'))).toEqual({
      language: 'lua',
      source: 'local function twice(x)\n  return 2 * x\nend',
      tests: { kind: 'appended', code: `\n${lua.tests}` },
    });
  });

  test('keeps what ends like a stop text that the tests do not begin with', async () => {
    const { source } = await program(lua, completion('  return 2 * x\nend'));
    expect(source.endsWith('\nend')).toBe(true);
  });
});

test("the ids are the names, the stop texts the row's, and there is no solution", async () => {
  const benchmark = multiplE([read(java)]);
  expect(benchmark.name).toBe('multipl-e:java');
  expect(await collect(benchmark.problems())).toMatchObject([
    { id: java.name, language: 'java', stop: java.stop_tokens, canonical: null, prompt: java.prompt },
  ]);
});

test.each(languageIds)('%s has an empty completion', async (language) => {
  const [problem] = await collect(multiplE([read({ ...java, language })]).problems());
  expect(problem.empty).not.toBe('');
});

test.each([
  [{ ...java, language: 'cs' }, 'language "cs" cannot be judged; it must be one of py, java'],
  [{ ...java, language: 'rust' }, 'language "rust" cannot be judged'],
  [{ ...java, prompt: 'class Problem {\n' }, 'the prompt must end in the body of a method'],
])('the row %j is refused', (row, message) => {
  expect(() => read(row)).toThrow(DataError);
  expect(() => read(row)).toThrow(`rows.jsonl:7: ${message}`);
});

test('rows of several languages are refused', () => {
  const rows = [read(java), read({ ...lua, name: 'other' })];
  expect(() => multiplE(rows)).toThrow('rows are of java and lua; a file must be of one language');
});
