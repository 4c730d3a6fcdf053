import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JavaWorker } from './java-worker.ts';
import { fixture, javaSandbox, openWorker, runTester, type TestsEnd } from './testing.ts';

const machine = await javaSandbox();

describe.skipIf(machine === null)('tests whose checks fail', () => {
  let worker: JavaWorker;
  beforeAll(async () => {
    worker = await openWorker(machine!);
  });
  afterAll(() => worker.kill());

  /** How often tests call f, which gives these answers in turn, and their first failure. */
  function run(tests: string, answers: readonly boolean[]): Promise<TestsEnd> {
    const { tester } = fixture({ header: 'static boolean f(int x)', body: '', tests }).tests;
    return runTester(worker, { tester }, (i) => Buffer.from(answers[i % answers.length] ? 'V+' : 'V-'));
  }

  interface Condition {
    readonly text: string;
    readonly value: (answer: () => boolean) => boolean;
  }
  const call = fc.constantFrom('f(1)', 'g(2)', '(f(3))', 'Problem.f(4)').map((text): Condition => {
    return { text, value: (answer) => answer() };
  });
  const { condition } = fc.letrec<{ condition: Condition }>((tie) => ({
    condition: fc.oneof(
      { maxDepth: 3 },
      call,
      fc.tuple(tie('condition'), tie('condition')).map(([a, b]) => ({
        text: `(${a.text} && ${b.text})`,
        value: (answer: () => boolean) => [a.value(answer), b.value(answer)].every(Boolean),
      })),
      fc.tuple(tie('condition'), tie('condition')).map(([a, b]) => ({
        text: `(${a.text}\n || ${b.text})`,
        value: (answer: () => boolean) => [a.value(answer), b.value(answer)].some(Boolean),
      })),
      tie('condition').map((a) => ({
        text: `!(${a.text})`,
        value: (answer: () => boolean) => !a.value(answer),
      })),
    ),
  }));
  const check = fc.tuple(condition, fc.nat(2)).map(([{ text, value }, shape]) => ({
    // A condition of an `if` is the tests' own control flow: it has one call.
    text: [`assert ${text};`, `{ assert (${text}) : "no"; }`, 'if (!f(5)) throw new Exception("no");'][shape],
    value: shape === 2 ? (answer: () => boolean) => answer() : value,
  }));
  const helper = '}\nstatic boolean g(int x) { return f(x); }\nstatic {';

  test('ask the same of whoever is right or wrong, and fail where plain Java would', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(check, { minLength: 1, maxLength: 4 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }),
        async (checks, answers) => {
          const tests = checks.map(({ text }) => text).join('\n') + helper;
          let next = 0;
          const holds = checks.map(({ value }) => value(() => answers[next++ % answers.length]));
          const { calls, failure } = await run(tests, answers);
          expect(calls).toBe(next);
          expect(failure === '').toBe(holds.every(Boolean));
          expect((await run(tests, [true])).calls).toBe(next);
        },
      ),
      { numRuns: 60 },
    ));

  test('report the first failure, by its line or message', async () => {
    const tests = ['int y = 1;', 'assert f(1)', '  && f(2);', 'assert f(3) : "three";'].join('\n');
    const line = 'a assertion failed: ';
    expect(await run(tests, [true, false, false])).toEqual({ calls: 3, failure: `${line}assert f(1)` });
    expect(await run(tests, [true, true, false])).toEqual({ calls: 3, failure: `${line}three` });
    const thrown = 'if (!f(1)) { throw new java.lang.Exception("Exception -- test case 0 did not pass."); }';
    expect(await run(`${thrown}\nf(2);`, [false])).toEqual({
      ...{ calls: 2, failure: 'a Exception -- test case 0 did not pass.' },
    });
  });

  test('go on after an answer that the check cannot bear', async () => {
    const tests = 'Object o = null; assert f(1) && o.hashCode() == 0 && f(2); assert f(3);';
    expect(await run(tests, [true])).toMatchObject({
      calls: 2,
      failure: expect.stringMatching(/^x .*NullPointer/),
    });
    const decided =
      'Object o = null; assert f(1) || o.hashCode() == f2(); } static int f2() { return f(2) ? 1 : 0; } static {';
    expect(await run(decided, [true])).toEqual({ calls: 1, failure: '' });
  });

  test('that their own `try` takes stay as they are', async () => {
    const taken = 'try { assert f(1); f(2); } catch (Throwable e) { f(3); f(4); f(5); }';
    expect(await run(taken, [false])).toEqual({ calls: 4, failure: '' });
    const thrown = 'try { if (!f(1)) throw new Exception(); f(2); } catch (Exception e) { f(3); f(4); }';
    expect(await run(thrown, [false])).toEqual({ calls: 3, failure: '' });
    const dividing = (check: string) =>
      `try { ${check} } catch (ArithmeticException e) { f(2); } } static int zero(int x) { return 1 / x; } static {`;
    expect(await run(dividing('assert f(1) && zero(0) > 0;'), [true])).toEqual({ calls: 2, failure: '' });
    const read = 'try { assert read(); } catch (IOException e) { f(2); }';
    const reading = '} static boolean read() throws IOException { throw new IOException(); } static {';
    expect(await run(read + reading, [true])).toEqual({ calls: 1, failure: '' });
    const helped = 'try { check(); } catch (ArithmeticException e) { f(2); }';
    const helper = '} static void check() { assert f(1) && 1 / zero > 0; } static int zero; static {';
    expect(await run(helped + helper, [true])).toEqual({ calls: 2, failure: '' });
  });

  test('whose condition names what follows may use stay as they are', async () => {
    const named = 'Object o = f(1); if (!(o instanceof Boolean b)) throw new Exception(); assert b && f(2);';
    expect(await run(named, [true])).toEqual({ calls: 2, failure: '' });
  });
});
