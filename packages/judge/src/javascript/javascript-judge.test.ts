import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inProcess, type Judge, openJudge } from '../judge.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import type { Judgement } from '../verdict.ts';
import { javascriptProgram } from './javascript-program.ts';

const { encode, decode } = createRequire(import.meta.url)('./codec.cjs') as {
  encode: (value: unknown) => string;
  decode: (text: string) => unknown;
};

/** Values that cross, as expressions. */
const crossing = [
  ...['0', '-0', 'NaN', 'Infinity', '-Infinity', '5e-324', '1.5', '2 ** 53 + 2', '-7n', '0n', '2n ** 200n'],
  ...['true', 'null', 'undefined', "''", "'grün 😀'", "'\\ud800'", "'\\0'"],
  ...['[]', '[1, [2, [3]]]', '[, 1, , 2, ,]', '[undefined, null]', "'abc'.match(/b(.)/)", '[["q", 1]]'],
  ...['{}', '{ a: 1, b: { c: [2] } }', '{ 2: 0, 1: 0 }', 'JSON.parse(\'{"__proto__": 1}\')', '{ then: 1 }'],
  ...['Object.assign(Object.create(null), { a: 1 })', 'new (class Point { x = 1 })()'],
  ...["new Map([[1, 'a'], ['b', { c: 1 }]])", 'new Map([[[1], new Set()]])', "new Set(['a', 1, NaN])"],
  ...['new Date(0)', 'new Date(-5)', '/a[/]b/giu', 'new Number(3)', "new String('ab')", 'new Boolean(false)'],
  ...[
    'new Uint8Array([1, 255])',
    'new Float64Array([NaN, -0])',
    'new BigInt64Array([-1n])',
    'Buffer.from([7])',
  ],
  ...["new RangeError('far')", "Object.assign(new Error('x'), { code: 7 })"],
];
/** Values that do not, and what is said of them. */
const staying = [
  ['() => 1', 'a function'],
  ['Symbol.iterator', 'a symbol'],
  ['Promise.resolve(1)', 'a Promise'],
  ['(function* () {})()', 'a Generator'],
  ['new WeakMap()', 'a WeakMap'],
  ['[[Math.max]]', 'a function'],
  ['(() => { const a = []; a.push(a); return a; })()', 'a value more than 500 deep'],
  ['new Array(2e6)', 'more than 1000000 values'],
] as const;

const testing = (...lines: readonly string[]) =>
  `const assert = require('node:assert');\nfunction test() {\n  let candidate = f;\n${lines.join('\n')}\n}\ntest();`;

describe.skipIf(withoutSandbox)('JavaScript apart from its tests', () => {
  let judge: Judge;
  beforeAll(async () => {
    judge = openJudge({ sandbox: await openSandbox(), lane: 0, timeout: 5 });
  });
  afterAll(() => judge.close());
  const judged = (source: string, ...lines: readonly string[]): Promise<Judgement> =>
    judge.judge(javascriptProgram({ source, tests: testing(...lines) }));
  const passes = { verdict: 'passed', failure: null, assurance: 'isolated' };
  const failed = (failure: string, detail: unknown = expect.any(String)) => ({
    verdict: 'failed',
    failure,
    detail,
    assurance: 'isolated',
  });

  test('values cross both ways as they are', async () => {
    const source = `const values = () => [${crossing.map((value) => `(${value})`).join(', ')}];
      const isSame = require('node:util').isDeepStrictEqual;
      function f(i, given) {
        const own = values()[i];
        // Prototypes of classes stay behind.
        if (!/^(?:Point|Buffer)$/.test(own?.constructor?.name) && !isSame(own, given)) throw new Error('differs: ' + i);
        return own;
      }`;
    const lines = crossing.map((value, i) =>
      /Point|Buffer/.test(value)
        ? `assert.deepEqual(candidate(${i}, ${value}), ${value});`
        : `assert.deepStrictEqual(candidate(${i}, ${value}), ${value});`,
    );
    const all = await judged(source, ...lines);
    expect(all, all.detail).toMatchObject(passes);
    for (const [i, value] of crossing.entries()) {
      const other = await judged(source, `assert.deepStrictEqual(candidate(${i}, ${value}), [${i}]);`);
      if (i % 7 === 0) expect(other).toMatchObject(failed('assertion', expect.stringMatching(/^deepStrict/)));
    }
  });

  test.each(staying)('%s does not cross', async (value, said) => {
    const found = await judged(`function f() { return ${value}; }`, 'try { candidate() } catch {}');
    expect(found).toMatchObject(failed('exception', `a value cannot cross to the tests: ${said}`));
  });

  test('what is of a class is not a plain object, nor an object without a prototype', async () => {
    for (const value of ['new (class { a = 1 })()', 'Object.assign(Object.create(null), { a: 1 })']) {
      const source = `function f() { return ${value}; }`;
      expect(await judged(source, 'assert.deepEqual(candidate(), { a: 1 });')).toMatchObject(passes);
      const strictly = await judged(source, 'assert.deepStrictEqual(candidate(), { a: 1 });');
      expect(strictly).toMatchObject(failed('assertion'));
    }
  });

  test('what it throws, the tests can catch by its class, its name and its text', async () => {
    const source = `class Odd extends TypeError { name = 'Odd'; code = 3 }
      function f(x) { if (x === 7) throw 7; throw new Odd('no ' + x); }`;
    const found = await judged(
      source,
      'assert.throws(() => candidate(1), TypeError);',
      "assert.throws(() => candidate(2), { name: 'Odd', message: 'no 2', code: 3 });",
      'try { candidate(7); assert.fail(); } catch (error) { assert.strictEqual(error, 7); }',
    );
    expect(found).toMatchObject(passes);
    const other = await judged(source, 'assert.throws(() => candidate(1), RangeError);', 'candidate(2);');
    expect(other).toMatchObject(failed('assertion'));
    expect(await judged(source, 'candidate(2);')).toMatchObject(failed('exception', 'Odd: no 2'));
  });

  test('it is asked the same whether it was right or wrong, and the first failure is reported', async () => {
    const source = (answer: string) =>
      `let asked = '';\nfunction f(x) { asked += x; return x === 4 ? asked : ${answer}; }`;
    const lines = [
      'assert.deepEqual(candidate(1), 1);',
      'assert(candidate(2) === 2);',
      'assert.throws(() => candidate(3), TypeError);',
      "if (candidate(4) !== '1234') throw new Error('not asked all');",
    ];
    expect(await judged(source('0'), ...lines)).toMatchObject(failed('assertion', 'deepEqual(0, 1)'));
    expect(await judged(source('1'), ...lines)).toMatchObject(failed('assertion', 'ok(false)'));
    expect(await judged(source('x'), ...lines)).toMatchObject(failed('assertion', /Missing expected exc/));
    const loops = 'function f(x) { if (x === 1) return 0; for (;;); }';
    const stuck = await judged(loops, lines[0], lines[1]);
    expect(stuck).toMatchObject(failed('assertion', 'deepEqual(0, 1)'));
    expect(stuck.seconds, 'it was asked again').toBeGreaterThan(5);
  });

  test('a program that gives global names other values', async () => {
    const names =
      'Array, BigInt, Buffer, Date, Error, JSON, Map, Number, Object, Reflect, RegExp, Set, String';
    const source = `${names.split(', ').join(' = ')} = null; process = null; function f(x) { return [x, -0, {}]; }`;
    expect(await judged(source, 'assert.deepEqual(candidate([1n]), [[1n], -0, {}]);')).toMatchObject(passes);
  });

  test('an exception of which nothing can be said fails the program, not the tests', async () => {
    const reply = JSON.stringify(['x', ['e', 'Error', 'Error', ''], 'toString', 1, 'stack', ['o', 1]]);
    const source = `function f() { Buffer.from = ((from) => () => from('E' + ${JSON.stringify(reply)}))(Buffer.from); }`;
    expect(await judged(source, 'candidate();')).toMatchObject(failed('exception', '…'));
  });

  test('asynchronous tests are waited for, and what they reject is a failure', async () => {
    const source = 'function f(x) { return x; }';
    const later = (x: number) =>
      `setTimeout(async () => { await 0; assert.strictEqual(candidate(${x}), 5); }, 50);`;
    expect(await judged(source, later(5))).toMatchObject(passes);
    expect(await judged(source, later(6))).toMatchObject(failed('assertion', 'strictEqual(6, 5)'));
    expect(await judged(source, 'Promise.reject(new Error("late"));')).toMatchObject(failed('exception'));
  });

  test('tests that end their process have not passed when one had failed', async () => {
    const source = 'function f(x) { return x; }';
    const found = await judged(source, 'assert.equal(candidate(1), 2);', 'process.exit(0);');
    expect(found).toMatchObject(failed('assertion'));
  });

  test('what tests print is dropped', async () => {
    const lines = ['for (let i = 0; i < 1e5; i++) console.log("x".repeat(200));', 'assert(candidate(1));'];
    expect(await judged('function f(x) { return x; }', ...lines)).toMatchObject(passes);
  });
});

test('any value is the same after it has crossed', () => {
  const values = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withSparseArray: true,
    withTypedArray: true,
    withBoxedValues: true,
    withUnicodeString: true,
  });
  fc.assert(fc.property(values, (value) => isDeepStrictEqual(decode(encode(value)), value)));
});

test('a text that is no value is refused', () => {
  const texts = ['', '{', '{}', '["q"]', '[]', '["n","5"]', '["b","g"]', '["o",0,1,2]', '["t","Map",""]'];
  for (const text of [
    ...texts,
    '["r","(",""]',
    '["x",1,"a",1]',
    '["w",{}]',
    `${'['.repeat(1e5)}${']'.repeat(1e5)}`,
  ]) {
    expect(() => decode(text), text.slice(0, 20)).toThrow(/^(?:what is no value|a value|an object)/);
  }
});

test('tests that do not name what they call run in one process', () => {
  const program = javascriptProgram({ source: 'function f() {}', tests: 'f();' });
  expect(program.tests).toEqual({ kind: 'appended', code: '\nf();' });
  expect(inProcess(program)).toBeNull();
});
