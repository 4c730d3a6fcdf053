import { DataError } from '@flex/base';
import { describe, expect, test } from 'vitest';
import type { Format, Row } from '../format.ts';
import * as formats from './index.ts';

/** Reads rows that are like this one but for some members. */
function reader<R extends Row>(format: Format<R>, row: object) {
  return (more: object = {}) => {
    const value = { ...row, ...more } as Record<string, unknown>;
    return format.read({ where: 'rows.jsonl:7', text: JSON.stringify(value), value });
  };
}

const mbpp = reader(formats.mbpp, {
  task_id: 11,
  text: 'Add one,\r\nplease.',
  code: 'def one(x):\r\n\treturn x + start',
  test_setup_code: 'start = 1\r\n',
  test_list: ['assert one(1) == 2', 'assert one(2)\r\n == 3'],
  challenge_test_list: ['assert False'],
});
const humanEval = reader(formats.humanEval, {
  task_id: 'HumanEval/900',
  prompt: 'def f():\n',
  entry_point: 'f',
  canonical_solution: '    pass\n',
  test: 'def check(f): pass',
});
const mbxp = reader(formats.mbxp, { task_id: 'MBJP/900', language: 'java', prompt: 'class A {', test: 't' });
const multiplE = reader(formats.multiplE, {
  name: 'HumanEval_900_twice',
  language: 'lua',
  prompt: 'local function twice(x)\n',
  tests: 't',
  stop_tokens: ['\nend'],
});
const streams = { inputs: ['1\n'], outputs: ['a\n'] };
const apps = reader(formats.apps, {
  problem_id: 7,
  question: 'Why?',
  input_output: streams,
  solutions: ['print(1)', 'pass'],
});

test.each(Object.values(formats))('$name says its keys, and takes no row without them', (format) => {
  expect(format.shape).toMatch(/^\{\w+.*\}$/);
  for (const row of [{}, { task_id: 1 }, { id: 1, text: 'a', more: 'b' }])
    expect(format.matches(row)).toBe(false);
});

describe('MBPP', () => {
  test('has \\n for line ends', () => {
    expect(mbpp()).toEqual({
      id: '11',
      text: 'Add one,\nplease.',
      code: 'def one(x):\n\treturn x + start',
      setup: 'start = 1',
      tests: ['assert one(1) == 2', 'assert one(2)\n == 3'],
    });
  });

  test.each([11, '11', 'Mbpp/11', 'MBPP/11'])('may have the task id %j', (task_id) => {
    expect(mbpp({ task_id }).id).toBe('11');
  });

  test('may be of the sanitized shape', () => {
    const { text, setup: _, ...rest } = mbpp();
    const more = { text: undefined, prompt: text, test_setup_code: undefined, test_imports: ['import math'] };
    const value = JSON.parse(JSON.stringify({ ...rest, task_id: 11, test_list: rest.tests, ...more }));
    expect(formats.mbpp.read({ where: 'a:1', text: '', value })).toEqual({
      ...rest,
      text,
      setup: 'import math',
    });
  });
});

test('HumanEval may have no solution, and is then nothing to learn from', () => {
  const row = humanEval({ canonical_solution: undefined });
  expect(row.canonical).toBeNull();
  expect(formats.humanEval.completion?.texts(row, 'a:1')).toBeNull();
  expect(formats.humanEval.completion?.texts(humanEval(), 'a:1')).toEqual({
    prompt: 'def f():\n',
    canonical_solution: '    pass\n',
  });
});

test('MultiPL-E may write go as the end of its files, and names its tasks', () => {
  expect(multiplE({ language: 'go_test.go' })).toMatchObject({ language: 'go', id: 'HumanEval_900_twice' });
});

describe('APPS', () => {
  test('is the same with its parts as JSON text', () => {
    expect(apps({ input_output: JSON.stringify(streams), solutions: '["print(1)", "pass"]' })).toEqual(
      apps(),
    );
    expect(apps().solutions).toEqual(['print(1)', 'pass']);
  });

  test('has the id task_id or problem_id', () => {
    expect([apps().id, apps({ task_id: 'x/1' }).id, apps({ problem_id: null }).id]).toEqual([
      '7',
      'x/1',
      null,
    ]);
  });

  test('keeps numbers as they are written in the row', () => {
    const text =
      '{"question": "", "input_output": {"inputs": [[1.0, 12345678901234567890]], "outputs": [1]}}';
    const { inputOutput } = formats.apps.read({ where: 'a:1', text, value: JSON.parse(text) });
    expect(inputOutput).toContain('[[1.0, 12345678901234567890]]');
  });

  test.each(['', null, undefined])('may have the cases %j, which are none', (input_output) => {
    expect(apps({ input_output }).inputOutput).toBeNull();
  });

  test.each([undefined, null, '', [], '[]'])('may have the solutions %j, which are none', (solutions) => {
    expect(apps({ solutions }).solutions).toEqual([]);
  });
});

test('APPS as its own file of rows has its id as id', () => {
  expect(apps({ problem_id: undefined, id: 4 }).id).toBe('4');
});

const turn = { role: 'user', content: 'Hi' };
const chat = reader(formats.messages, { task_id: 3, messages: [turn, { ...turn, name: null }] });

test('a chat has its turns as they are, without what is null in them', () => {
  expect(chat()).toEqual({ id: '3', messages: [turn, turn] });
});

test.each<[string, (more: object) => Row, object, string]>([
  ['a chat', chat, { messages: [] }, 'messages must be a list of {role, content}, got []'],
  ['a chat', chat, { messages: 'Hi' }, 'messages must be a list of {role, content}, got "Hi"'],
  ['a chat', chat, { messages: [turn, 7] }, 'messages[1] must be a JSON object, got 7'],
  ['a chat', chat, { messages: [{ role: 'user' }] }, 'messages[0].content must be a text'],
  ['a chat', chat, { messages: [{ ...turn, content: [] }] }, 'messages[0].content must be a text, got []'],
  ['a chat', chat, { messages: [{ ...turn, tool_calls: [{}] }] }, 'messages[0] has tool_calls, which is not'],
  ['MBPP', mbpp, { test_list: [] }, 'test_list must have a test, got an empty list'],
  ['MBPP', mbpp, { test_list: 'assert 1' }, 'test_list must be a list of texts, got "assert 1"'],
  ['MBPP', mbpp, { test_list: [1] }, 'test_list must be a list of texts, got [1]'],
  ['MBPP', mbpp, { text: 7 }, 'text must be a text, got 7'],
  ['MBPP', mbpp, { code: {} }, 'code must be a text, got {}'],
  ['MBPP', mbpp, { test_setup_code: 1 }, 'test_setup_code must be a text, got 1'],
  ['HumanEval', humanEval, { prompt: 3 }, 'prompt must be a text, got 3'],
  ['HumanEval', humanEval, { test: null }, 'test must be a text, got null'],
  ['HumanEval', humanEval, { task_id: 1.5 }, 'task_id must be a text or a whole number, got 1.5'],
  ['HumanEval', humanEval, { task_id: '' }, 'task_id must be a text or a whole number, got ""'],
  ['HumanEval', humanEval, { entry_point: 'f(x)' }, 'entry_point must be the name of a function, got "f(x)"'],
  ['HumanEval', humanEval, { canonical_solution: ['x'] }, 'canonical_solution must be a text, got ["x"]'],
  ['MBXP', mbxp, { test: 1 }, 'test must be a text, got 1'],
  ['MBXP', mbxp, { task_id: {} }, 'task_id must be a text or a whole number, got {}'],
  ['MultiPL-E', multiplE, { stop_tokens: [''] }, 'stop_tokens holds an empty text'],
  ['MultiPL-E', multiplE, { stop_tokens: '\n' }, 'stop_tokens must be a list of texts'],
  ['MultiPL-E', multiplE, { tests: undefined }, 'tests must be a text'],
  ['APPS', apps, { question: 3 }, 'question must be a text'],
  ['APPS', apps, { starter_code: 5 }, 'starter_code must be a text'],
  ['APPS', apps, { solutions: [1] }, 'solutions must be a list of texts, or JSON text of one, got [1]'],
  ['APPS', apps, { solutions: '[' }, 'solutions: is not JSON'],
  ['APPS', apps, { solutions: 5 }, 'solutions must be a list'],
])('a row of %s with %3$j is refused', (_, read, wrong, message) => {
  expect(() => read(wrong)).toThrow(DataError);
  expect(() => read(wrong)).toThrow(`rows.jsonl:7: ${message}`);
});

test('a row that lacks a key is refused with the key it may have meant', () => {
  const value = { task_id: 1, prompt: '', entrypoint: 'f', test: '' };
  expect(() => formats.humanEval.read({ where: 'a:1', text: '', value })).toThrow(
    'a:1: has no entry_point, which must be a text; is "entrypoint" meant to be entry_point?',
  );
});
