import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { collect, temporaryFile, temporaryFolder } from '@flex/base/testing';
import { hasPython, runPython } from '@flex/fixtures';
import { type Judgement, judgeAll, openJudgementCache, openSandbox, toolchainVersions } from '@flex/judge';
import { withoutSandbox } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import type { Benchmark, Problem } from '../benchmark.ts';
import { checkBenchmark } from '../testing/check-benchmark.ts';
import { encoded, type PlusRow as Row } from '../testing/eval-plus-rows.ts';
import { openBenchmark } from './open-benchmark.ts';

const write = (...rows: readonly Row[]) => temporaryFile('rows.jsonl', rows.map(encoded).join(''));

async function open(...rows: readonly Row[]): Promise<{ benchmark: Benchmark; problems: Problem[] }> {
  const benchmark = await openBenchmark({ name: write(...rows) });
  return { benchmark, problems: await collect(benchmark.problems()) };
}

/** What the judge says of programs, each with the tests of a row. */
async function judged(cases: readonly { row: Row; source: string }[], timeout: number): Promise<Judgement[]> {
  const jobs = [];
  for (const { row, source } of cases) {
    const { benchmark, problems } = await open(row);
    jobs.push({
      program: benchmark.program(problems[0], { kind: 'program', text: source }),
      canonical: null,
    });
  }
  return await judgeAll(jobs, {
    ...{ sandbox: await openSandbox(), lanes: 2, timeout, cache: openJudgementCache(null) },
    toolchains: await toolchainVersions(['py']),
  });
}

/** A candidate's answer: the plus inputs, the canonical body, the candidate, whether it agrees. */
type Answer = [
  what: string,
  plus: string,
  body: string,
  source: string,
  agrees: boolean,
  more?: Partial<Row>,
];
const always =
  'class A:\n    def __eq__(self, other): return True\n    __ne__ = __hash__ = lambda self, *a: 0\n';
const gives = (value: string) => `def f(*a):\n    return ${value}\n`;
const answers: readonly Answer[] = [
  ['the same', '[[1], [2]]', 'return [a[0], "x"]', gives('[a[0], "x"]'), true],
  ['the same on one input of two', '[[1], [2]]', 'return a[0]', gives('1'), false],
  ['True for 1', '[[1]]', 'return 1', gives('True'), true],
  ['1 for 1.0', '[[1]]', 'return 1.0', gives('1'), true],
  ['-0.0 for 0.0', '[[1]]', 'return 0.0', gives('-0.0'), true],
  ['infinity for infinity', '[[Infinity], [-Infinity]]', 'return a[0]', gives('a[0]'), true],
  ['infinity for the other one', '[[Infinity]]', 'return a[0]', gives('-a[0]'), false],
  ['a large number for infinity', '[[1]]', 'return float("inf")', gives('1e308'), false],
  ['nan for nan', '[[NaN]]', 'return a[0]', gives('a[0]'), false],
  ['nan for a number', '[[1]]', 'return 1.0', gives('float("nan")'), false, { atol: '1' }],
  ['a number beyond JavaScript', '[[36893488147419103233]]', 'return a[0] + 1', gives('2**65 + 2'), true],
  ['a float beside a whole one', '[[1.0, 1]]', 'return repr(a)', gives('"(1.0, 1)"'), true],
  ['a tuple for a list', '[[1]]', 'return [1, 2]', gives('(1, 2)'), false],
  ['a list for a tuple', '[[1]]', 'return 1, 2', gives('[1, 2]'), false],
  ['a tuple of floats for a list', '[[1]]', 'return [1.5, 2.5]', gives('(1.5, 2.5 + 1e-9)'), false],
  ['a float within 1e-6', '[[1]]', 'return 1e-9', gives('9e-7'), true],
  ['a float beyond 1e-6', '[[1]]', 'return 0.0', gives('1.1e-6'), false],
  ['a float within 1e-7 of itself', '[[1]]', 'return 1e12', gives('1e12 + 9e4'), true],
  ['a float beyond 1e-7 of itself', '[[1]]', 'return 1e12', gives('1e12 + 2e5'), false],
  ['a whole number near a float', '[[1]]', 'return 2.9999999', gives('3'), false],
  ['a whole number near another', '[[1]]', 'return 10**9', gives('10**9 + 1'), false],
  ['a list of floats nearby', '[[1]]', 'return [1.5, 2.5]', gives('[1.5 + 1e-9, 2.5 - 1e-9]'), true],
  ['a list of one float fewer', '[[1]]', 'return [1.5, 2.5]', gives('[1.5]'), false],
  ['an empty list for floats', '[[1]]', 'return [1.5]', gives('[]'), false],
  ['nested floats nearby without atol', '[[1]]', 'return [[1.5]]', gives('[[1.5 + 1e-9]]'), false],
  ['nested floats nearby', '[[1]]', 'return [[1.5]]', gives('[[1.5 + 1e-9]]'), true, { atol: '1e-6' }],
  [
    'floats nearby in uneven lists',
    '[[1]]',
    'return [[1.5], []]',
    gives('[[1.5 + 1e-9], []]'),
    false,
    { atol: '1' },
  ],
  ['what numpy would broadcast', '[[1]]', 'return [1.5]', gives('[[]]'), false],
  ['floats nearby in a dict', '[[1]]', 'return {1: 1.5}', gives('{1: 1.5 + 1e-9}'), false, { atol: '1e-6' }],
  [
    'a text beside a float nearby',
    '[[1]]',
    'return ["a", 1.5]',
    gives('["a", 1.5 + 1e-9]'),
    false,
    { atol: '1' },
  ],
  ['a number too large for a float', '[[1]]', 'return 10**400', gives('10**400 + 1'), false, { atol: '1' }],
  ['a generator of the items', '[[1]]', 'return [1, 2]', gives('(i for i in (1, 2))'), false],
  ['an object that equals all', '[[1]]', 'return 1', `${always}${gives('A()')}`, false],
  ['a list of what equals all', '[[1]]', 'return [1]', `${always}${gives('[A()]')}`, false],
  [
    'a list that equals all',
    '[[1]]',
    'return [1]',
    `${always}class B(A, list): pass\n${gives('B([2])')}`,
    false,
  ],
  [
    'a float that equals all',
    '[[1]]',
    'return 1.5',
    `${always}class B(A, float): pass\n${gives('B(2)')}`,
    false,
  ],
  [
    'a list of its own that holds the right',
    '[[1]]',
    'return [1]',
    `class B(list): pass\n${gives('B([1])')}`,
    true,
  ],
  [
    'an exception that equals all',
    '[[1]]',
    'return 1',
    `${always}class B(A, Exception): pass\n${gives('B')}`,
    false,
  ],
  ['a list of ten million', '[[1]]', 'return [0] * 10', gives('[0] * 10**7'), false],
  ['what sees the reference', '[[1]]', 'return 7', gives('__row__ or __evalplus__'), false],
  [
    ...(['its own, and changes its arguments', '[[[1, 2]], [[3]]]', 'a[0].append(0); return a[0]'] as const),
    ...([`def f(x):\n    x += [0]\n    y = [*x]\n    x.clear()\n    return y\n`, true] as const),
  ],
  [
    ...(['its own, and has the names of what tests it', '[[1.5]]', 'return a[0]'] as const),
    ...([
      `copy = json = math = reprlib = Test = tests = is_close = list\n${gives('a[0] + 1e-9')}`,
      true,
    ] as const),
  ],
  ...['len', 'type', 'abs', 'zip', 'str', 'all', 'isinstance', 'map', 'repr', 'range'].map((name): Answer => {
    const wrong = `def ${name}(*a):\n    return -1\n`;
    return [`wrong as ${name}`, '[[[1.5]]]', 'return [1.5]', wrong, false, { name }];
  }),
  [
    'another root',
    '[[[-1, 0, 1]]]',
    'return 1.0',
    'def find_zero(xs): return -1',
    true,
    { name: 'find_zero', atol: '1e-4' },
  ],
  ...['0.9', 'float("nan")', 'float("inf")', '10**400', 'None', '[1]', '"1"'].map((value): Answer => {
    const source = `def find_zero(xs):\n    return ${value}\n`;
    return [
      `the root ${value}`,
      '[[[-1, 0, 1]]]',
      'return 1.0',
      source,
      false,
      { name: 'find_zero', atol: '1e-4' },
    ];
  }),
  [
    'a root with __float__',
    '[[[-1, 1]]]',
    'return 1.0',
    'class A:\n    __float__ = lambda self: 1.0\ndef find_zero(xs): return A()',
    false,
    { name: 'find_zero', atol: '1' },
  ],
];

/** Tasks of MBPP's that have several right answers: [function, canonical, candidate, whether it agrees]. */
const ofMbpp: readonly [name: string, body: string, value: string, agrees: boolean][] = [
  ['Diff', 'return [1, 2]', '(2, 1, 1)', true],
  ['Diff', 'return [1, 2]', 'iter([2, 1])', true],
  ['Diff', 'return [1, 2]', '[1]', false],
  ['Diff', 'return [1, 2]', '[[1], [2]]', false],
  ['Diff', 'return [1, 2]', 'iter(int, 1)', false],
  ['Diff', 'return [1]', 'None', false],
  ['check_str', 'return __import__("re").match("a", "a")', 'True', true],
  ['check_str', 'return __import__("re").match("a", "a")', '"found"', true],
  ['check_str', 'return __import__("re").match("a", "b")', 'None', true],
  ['check_str', 'return __import__("re").match("a", "b")', '0', false],
  ['check_str', 'return __import__("re").match("a", "b")', 'True', false],
  ['are_equivalent', 'return True', 'False', true],
  ['are_equivalent', 'return True', '1 / 0', false],
  ['sum_div', 'return 7', '0', true],
  ['sum_div', 'return 7', '8', false],
  ['surface_Area', 'return 0', '35', true],
  ['surface_Area', 'return 0', '34', false],
  ['digit_distance_nums', 'return 0', '9', true],
  ['digit_distance_nums', 'return 0', '6', false],
];

describe.skipIf(withoutSandbox)('a candidate', () => {
  test('passes with what agrees with the canonical solution, and with nothing else', async () => {
    const cases = answers.map(([, plus, body, source, , more]) => ({ row: { plus, body, ...more }, source }));
    const found = await judged(cases, 5);
    const told = answers.map(([what, , , , agrees]) => `${what}: ${agrees ? 'passed' : 'failed'}`);
    expect(answers.map(([what], i) => `${what}: ${found[i].verdict}`)).toEqual(told);
    const raised = answers.filter((_, i) => found[i].failure === 'exception').map(([what]) => what);
    expect(raised).toEqual([
      ...['an object that equals all', 'a list of what equals all', 'an exception that equals all'],
      ...['a list of ten million', 'what sees the reference'],
    ]);
  });

  test("of MBPP's may give another right answer where evalplus takes it", async () => {
    const args = { surface_Area: '[[3, 4]]', digit_distance_nums: '[[123, 70]]' };
    const cases = ofMbpp.map(([name, body, value]) => ({
      row: { id: 'Mbpp/900', name, body, plus: args[name as keyof typeof args] ?? '[[1]]' },
      source: `def ${name}(*a):\n    return ${value}\n`,
    }));
    const found = await judged(cases, 2);
    const told = ofMbpp.map(([name, , value, agrees]) => `${name} ${value}: ${agrees}`);
    expect(ofMbpp.map(([name, , value], i) => `${name} ${value}: ${found[i].verdict === 'passed'}`)).toEqual(
      told,
    );
  });

  test('is asked all inputs, whatever it answers, and fails by the first', async () => {
    const row = { plus: '[[0], [1], [2]]', body: 'return a[0]' };
    const slow = (value: string) =>
      `import time\ndef f(x):\n    if x == 2:\n        time.sleep(60)\n    return ${value}\n`;
    const [wrong, right, raising] = await judged(
      [
        { row, source: slow('-1') },
        { row, source: slow('x') },
        { row, source: slow('1 // x') },
      ],
      2,
    );
    expect(wrong).toMatchObject({
      verdict: 'failed',
      failure: 'assertion',
      detail: 'plus_input[0]: f(0) must give 0',
    });
    expect(wrong.seconds).toBeGreaterThan(1);
    expect(right).toMatchObject({ verdict: 'timeout' });
    expect(raising).toMatchObject({ verdict: 'failed', failure: 'exception' });
    expect(raising.seconds).toBeGreaterThan(1);
  });
});

const right = { plus: '[[2], [3]]', body: 'return a[0] + 1' };

describe('a file of rows', () => {
  test('is known by its name, its rows and its own file', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'HumanEvalPlus.jsonl'), encoded(right));
    writeFileSync(join(folder, 'MbppPlus.jsonl'), encoded({ ...right, id: 'Mbpp/2' }));
    for (const [name, id] of [
      ['humaneval+', 'HumanEval/900'],
      ['mbpp+', 'Mbpp/2'],
    ]) {
      const benchmark = await openBenchmark({ name, dataFolder: folder });
      expect([benchmark.name, (await collect(benchmark.problems())).map((problem) => problem.id)]).toEqual([
        name,
        [id],
      ]);
    }
    await expect(openBenchmark({ name: 'mbpp+', data: write(right) })).rejects.toThrow(
      'its rows are of humaneval+, and mbpp+ was asked for',
    );
  });

  test.each<[Row[], string]>([
    [
      [
        { ...right, id: 'HumanEval/1' },
        { ...right, id: 'Mbpp/2' },
      ],
      'rows are of HumanEval and Mbpp; a file must be of one',
    ],
    [[{ ...right, id: 'own/1' }], 'task_id must be like HumanEval/0 or Mbpp/2, got "own/1"'],
    [[{ ...right, plus: '[1]' }], 'plus_input must be a list of lists'],
    [[{ ...right, base: '[]' }], 'base_input must be a list with an input'],
    [[{ ...right, atol: 'NaN' }], 'atol must be a number from 0, got null'],
    [[{ ...right, atol: '-1' }], 'atol must be a number from 0, got -1'],
    [[{ ...right, name: 'a b' }], 'entry_point must be the name of a function, got "a b"'],
    [[{ ...right, plus: '[[nan]]' }], 'rows.jsonl:1'],
  ])('%j is refused', async (rows, message) => {
    await expect(open(...rows)).rejects.toThrow(message);
  });

  test('in the form of Hugging Face is refused, since its tests need numpy', async () => {
    const form = {
      task_id: 'HumanEval/0',
      prompt: 'def f():\n',
      entry_point: 'f',
      canonical_solution: '    pass\n',
    };
    const path = temporaryFile('rows.jsonl', JSON.stringify({ ...form, test: '\n\nimport numpy as np\n' }));
    await expect(openBenchmark({ name: 'humaneval', data: path })).rejects.toThrow(
      `${path}:1: its test imports numpy, which programs are judged without; of EvalPlus take evalplus' own release`,
    );
  });

  test('has another digest for other inputs, be they numbers that JavaScript takes for the same', async () => {
    const digests = [];
    for (const plus of [
      '[[1]]',
      '[[1.0]]',
      '[[NaN]]',
      '[[Infinity]]',
      '[[18446744073709551616]]',
      '[[18446744073709551617]]',
    ]) {
      digests.push((await open({ ...right, plus })).benchmark.options.data);
    }
    expect(new Set(digests).size).toBe(digests.length);
  });

  test('makes one value of the tests of all completions of a problem', async () => {
    const { benchmark, problems } = await open(right);
    const [one, other] = ['a', 'b'].map((text) =>
      benchmark.program(problems[0], { kind: 'completion', text }),
    );
    expect(one.tests).toBe(other.tests);
    expect(one.source).toBe(`${problems[0].prompt}a`);
  });

  test('keeps the contract of a benchmark', async () => {
    const { benchmark } = await open(right, { ...right, id: 'HumanEval/901' });
    expect(await checkBenchmark(benchmark)).toEqual({ problems: 2, withoutCanonical: 0, judged: false });
  });
});

const script = readFileSync(join(import.meta.dirname, 'eval_plus.py'), 'utf8');

/** [task, arguments as JSON, what they are in Python] */
const restored: readonly [task: number, args: string, python: string][] = [
  [1, '[[1], [[2]]]', '[[1], [[2]]]'],
  [2, '[[1], [2, [3]]]', '[(1,), (2, [3])]'],
  [63, '[[[1], [2]]]', '[[(1,), (2,)]]'],
  [75, '[[[1]], [2]]', '[[(1,)], [2]]'],
  [106, '[[1], [2]]', '[[1], (2,)]'],
  [115, '[[[1], [], 3]]', '[[{1}, {}, {}]]'],
  [124, '["1", "(1+2j)"]', '[1.0, (1+2j)]'],
  [250, '[[1], 2]', '[(1,), 2]'],
  [252, '["1j"]', '[1j]'],
  [259, '[[[1], [2]], [[3]]]', '[((1,), (2,)), ((3,),)]'],
  [278, '[[1, [2]]]', '[(1, (2,))]'],
  [307, '[[1], 2, 3]', '[(1,), 2, 3]'],
  [580, '[[1, [2, [3]]]]', '[(1, (2, (3,)))]'],
  [722, '[{"a": [1, 2]}, [3]]', "[{'a': (1, 2)}, [3]]"],
];

test.runIf(hasPython).each(restored)('arguments of Mbpp/%i, %s, are %s', (task, args, python) => {
  const { output, error } = runPython(`${script}\nprint(list(restored(${task}, json.loads('${args}'))))`);
  expect([output.trim(), error]).toEqual([python, '']);
});
