import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Judge, openJudge } from '../judge.ts';
import { cpp } from '../languages/cpp.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { machineSandbox } from '../testing/without-sandbox.ts';
import { toolchainOf } from '../toolchain.ts';
import type { Judgement } from '../verdict.ts';
import { cppProgram } from './cpp-program.ts';

const includes = '#include<assert.h>\n#include<bits/stdc++.h>\n';
const minutes = 60_000;

const program = (head: string, body: string, ...lines: readonly string[]) =>
  cppProgram({
    prompt: `${includes}${head} {\n`,
    source: `${includes}${head} {\n${body}`,
    tests: `}\nint main() {\n    auto candidate = f;\n${lines.join('\n')}\n}\n`,
  });

const absent = (await machineSandbox()) === null || (await toolchainOf(cpp)).missing !== null;

describe.skipIf(absent)('C++ apart from its tests', { timeout: 5 * minutes }, () => {
  let judge: Judge;
  beforeAll(async () => {
    judge = openJudge({ sandbox: await openSandbox(), lane: 0, timeout: 8 });
  });
  afterAll(() => judge.close());
  const judged = (...parts: Parameters<typeof program>): Promise<Judgement> => judge.judge(program(...parts));
  const passes = { verdict: 'passed', failure: null, assurance: 'isolated' };
  const failed = (failure: string, detail: unknown) => ({
    verdict: 'failed',
    failure,
    detail,
    assurance: 'isolated',
  });

  test('values of all types cross both ways as they are', async () => {
    const scalars = ['long', 'int', 'unsigned', 'bool', 'char', 'float', 'double', 'std::string'];
    const containers = [
      'std::vector<std::vector<long>>',
      'std::vector<bool>',
      'std::map<std::string, std::vector<float>>',
      'std::optional<std::string>',
      'std::optional<long>',
      'std::pair<long, bool>',
    ];
    const all = `std::tuple<${[...scalars, ...containers].join(', ')}>`;
    const value = `${all}(-5000000000, -7, 4000000000u, true, 'x', -0.1f, 5e-324, std::string("a\\0\\xff", 3),
      {{1, 2}, {}, {3}}, {true, false}, {{"", {}}, {"b", {1.5f}}}, "", std::nullopt, {1L << 62, false})`;
    const given = [`    assert((candidate(${value})) == (${value}));`];
    given.push(`    assert(std::get<7>(candidate(${value})).size() == 3);`);
    given.push(`    assert(!std::get<12>(candidate(${value})).has_value());`);
    expect(await judged(`${all} f(${all} x)`, '    return x;', ...given)).toMatchObject(passes);
  });

  test('std::any crosses with what tests put into it', async () => {
    const found = await judged(
      'std::string f(std::vector<std::any> all)',
      `    std::string kinds;
    for (auto& one : all) kinds += one.type() == typeid(int) ? std::to_string(std::any_cast<int>(one))
        : one.type() == typeid(long) ? "l" : one.type() == typeid(double) ? "d" : one.type() == typeid(float) ? "f"
        : one.type() == typeid(bool) ? "b" : one.type() == typeid(std::string) ? std::any_cast<std::string>(one)
        : one.type() == typeid(const char*) ? std::any_cast<const char*>(one) : one.has_value() ? "o" : "e";
    return kinds;`,
      `    assert(candidate(std::vector<std::any>({7, 7L, 0.5, 0.5f, true, std::string("s"), "t",`,
      '        std::map<long, long>(), std::any()})) == "7ldfbstoe");',
    );
    expect(found).toMatchObject(passes);
  });

  test('it is asked the same whether it was right or wrong, and the first failure is reported', async () => {
    const head = 'std::string f(long x)';
    const body = (answer: string) =>
      `    static std::string asked;\n    asked += std::to_string(x);\n    return x == 3 ? asked : ${answer};`;
    const lines = ['1', '2'].map((x) => `    assert(candidate(${x}) == "${x}");`);
    lines.push('    if (candidate(3) != "123") std::abort();');
    const wrong = failed('assertion', 'candidate(1) == "1"');
    expect(await judged(head, body('"0"'), ...lines)).toMatchObject(wrong);
    const later = failed('assertion', 'candidate(2) == "2"');
    expect(await judged(head, body('"1"'), ...lines)).toMatchObject(later);
    const loops = '    if (x == 1) return "0";\n    for (;;);';
    const stuck = await judged(head, loops, ...lines);
    expect(stuck).toMatchObject(wrong);
    expect(stuck.seconds, 'it was asked again').toBeGreaterThan(8);
  });

  test('a function of other types is called as the tests would call it', async () => {
    const of = (source: string, result: string, ...lines: readonly string[]) => {
      const { tests } = program(`${result} f(std::vector<long> x)`, '', ...lines);
      return judge.judge({ language: 'cpp', source: `${includes}${source}`, tests });
    };
    const given = (value: string) => `    assert(candidate((std::vector<long>({1, 2}))) == (${value}));`;
    const widths = 'auto f(const std::vector<long>& x) { return x.size(); }';
    expect(await of(widths, 'long', given('2'))).toMatchObject(passes);
    const half = failed('assertion', 'a number that its type does not have');
    expect(await of('double f(std::vector<long> x) { return 2.5; }', 'long', given('2'))).toMatchObject(half);
    expect(await of('int f(std::vector<long> x) { return 2; }', 'bool', given('true'))).toMatchObject(half);
    const named = 'long f(std::vector<long>& x) { return 2; }';
    expect(await of(named, 'long', given('2'))).toMatchObject({ verdict: 'compile_error' });
    const twice = 'long f(std::vector<long> x) { return 2; }\nlong f(int x) { return 2; }';
    expect(await of(twice, 'long', given('2'))).toMatchObject({ verdict: 'compile_error' });
  });

  test('what it throws ends it, as its end is told', async () => {
    const thrown = await judged('long f(long x)', '    throw std::out_of_range("far");', '    candidate(1);');
    expect(thrown).toMatchObject(failed('exception', expect.stringMatching(/what\(\): +far/)));
    const exits = await judged('long f(long x)', '    std::exit(0);', '    candidate(1);');
    expect(exits).toMatchObject(failed('exited', 'ended with code 0 before the tests did'));
  });

  test('a source that does not compile says its own line, and tests that do not, that they are the tests', async () => {
    const broken = await judged('long f(long x)', '    return y;', '    candidate(1);');
    expect(broken).toMatchObject({ verdict: 'compile_error', assurance: 'isolated' });
    expect(broken.detail).toMatch(/^\/flex\/program\.cpp:4:\d+: error: .y. was not declared/);
    const odd = await judged('long f(long x)', '    return x;', '    candidate(y);');
    expect(odd).toMatchObject({ verdict: 'compile_error', detail: expect.stringMatching(/^tests: /) });
  });
});

test('what is tested from another process has tests apart from its source', () => {
  const { source, tests } = program(
    'std::map<long,std::string> f(long x, std::pair<long, int> y)',
    'BODY',
    'LINE',
  );
  const head = `${includes}std::map<long,std::string> f(long x, std::pair<long, int> y) {\n`;
  expect(source).toBe(`${head}BODY\n}\n`);
  expect(tests).toEqual({
    kind: 'cpp-calls',
    setup: includes.trimEnd(),
    signature: 'std::map<long,std::string>(long, std::pair<long, int>)',
    entryPoint: 'f',
    code: 'int main() {\n    auto candidate = f;\nLINE\n}\n',
  });
});

test.each([
  ['a union', 'Union_long_string f(long x)', ''],
  ['a pointer', 'long f(long* x)', ''],
  ['a reference', 'long f(std::vector<long>& x)', ''],
  ['a function', 'long f(std::function<long(long)> x)', ''],
  ['no name', 'long f(long)', ''],
  ['exceptions that the tests catch', 'long f(long x)', 'try { candidate(1); } catch (...) {}'],
])('%s keeps tests in one process', (_, head, line) => {
  const { source, tests } = program(head, 'BODY', line);
  expect(tests.kind).toBe('appended');
  expect(source.endsWith('BODY')).toBe(true);
});
