import { afterAll, describe, expect, test } from 'vitest';
import { HarnessError } from '../errors.ts';
import type { Sandbox } from '../sandbox/box.ts';
import type { Limits } from '../sandbox/limits.ts';
import { passed as pass } from '../verdict.ts';
import { javatuples } from './java-home.ts';
import { openJavaJudge } from './java-judge.ts';
import { type Fixture, fixture, javaSandbox, testLimits, watched } from './testing.ts';

const machine = await javaSandbox();
const right: Fixture = { body: 'return x + 1;' };
const passed = ['passed', null, ''];

/** A judge, and how many workers it has had; one box more of their lane compiled the judge. */
function newJudge(inner: Sandbox = machine!) {
  const sandbox = watched(inner);
  const judge = openJavaJudge({ sandbox, lane: 0 });
  return {
    judge,
    workers: () => sandbox.boxes.get(2)!.length - 1,
    async judged(program: Fixture, limits: Partial<Limits> = {}) {
      const { verdict, failure, detail } = await judge.judge(fixture(program), { ...testLimits, ...limits });
      return [verdict, failure, detail];
    },
  };
}

describe.skipIf(machine === null)('a Java program', () => {
  const { judge, judged, workers } = newJudge();
  afterAll(() => judge.close());

  test('that does what its tests say passes', async () => {
    expect(await judge.judge(fixture(right), testLimits)).toEqual(pass);
  });

  test.each([
    ['returns another value', 'return x;', 'failed', 'assertion', 'failed: assert f(1).equals(2);'],
    ['throws', 'return x / 0;', 'failed', 'exception', 'java.lang.ArithmeticException: / by zero'],
    [
      'throws its own',
      'throw new Own();\n}\nstatic class Own extends Error {',
      'failed',
      'exception',
      'Problem$Own',
    ],
    [
      'asserts',
      'assert x > 9 : "small";\nreturn x + 1;',
      'failed',
      'exception',
      'java.lang.AssertionError: small',
    ],
    ['recurses without end', 'return f(x);', 'failed', 'exception', 'java.lang.StackOverflowError'],
    [
      'fails to start',
      'return 2;\n}\nstatic int y = 1 / 0;\nstatic {',
      'failed',
      'exception',
      'InInitializer',
    ],
    ['does not compile', 'return y;', 'compile_error', 'compile', 'line 6: cannot find symbol'],
    ['exits', 'System.exit(0);\nreturn 2;', 'failed', 'exited', 'code 0'],
    ['halts', 'Runtime.getRuntime().halt(7);\nreturn 2;', 'failed', 'exited', 'code 7'],
    ['exits as it starts', 'return 2;\n}\nstatic {\nSystem.exit(0);', 'failed', 'exited', 'code 0'],
    [
      'fills the heap',
      'try { return new long[1 << 28]; } catch (Error e) { return x + 1; }',
      'memory',
      'memory',
      'OutOfMemory',
    ],
    ['says it has no memory', 'throw new OutOfMemoryError();', 'memory', 'memory', 'OutOfMemory'],
    [
      'prints without end',
      'while (true) System.out.println("much".repeat(5000));',
      'output_limit',
      'output',
      'printed',
    ],
  ])('that %s is told so', async (_, body, verdict, failure, detail) => {
    const header = 'public static Object f(int x, Object... more) throws Exception';
    expect(await judged({ header, body })).toEqual([verdict, failure, expect.stringContaining(detail)]);
  });

  test('that does not end is told whether it computed or waited', async () => {
    const computing = await judged({ body: 'while (true) x++;' }, { cpuSeconds: 1 });
    expect(computing).toEqual(['timeout', 'timeout', 'used more processor time than its limit']);
    const header = 'public static Object f(int x) throws Exception';
    const waiting = await judged(
      { header, body: 'Thread.currentThread().join(); return 2;' },
      { wallSeconds: 8 },
    );
    expect(waiting).toEqual(['timeout', 'never-stopped', 'did not end within its time limit']);
  });

  test('whose publisher would not compile it with the tests does not pass', async () => {
    const whole = 'class Problem { int x = ""; }';
    const detail = expect.stringContaining('line 1: incompatible types');
    expect(await judged({ ...right, whole })).toEqual(['compile_error', 'compile', detail]);
    expect(await judged({ ...right, whole: 'class Problem {}' })).toEqual(passed);
  });

  test("that MBXP's tests find unequal failed an assertion, their other exceptions are none", async () => {
    const mbxp = 'Exception -- test case 3 did not pass. x3 = 7';
    const throwing = (message: string) => ({
      ...right,
      tests: `throw new java.lang.Exception("${message}");`,
    });
    expect(await judged(throwing(mbxp))).toEqual(['failed', 'assertion', mbxp]);
    expect(await judged(throwing('other'))).toEqual(['failed', 'exception', 'java.lang.Exception: other']);
  });

  test('finds what programs find: output that goes nowhere, empty input, libraries', async () => {
    const body = `System.out.println("{}"); System.err.println(); if (System.in.read() != -1) return 0;
      java.security.MessageDigest.getInstance("MD5").digest("é".getBytes("UTF-8")); return x + 1;`;
    expect(await judged({ header: 'static Object f(int x) throws Exception', body })).toEqual(passed);
  });

  test.each([
    ['exits', 'if (x < 0) System.exit(0);', 'failed'],
    ['returns what cannot cross', 'if (x < 0) return new Object();', 'failed'],
    ['throws', 'if (x < 0) throw new IllegalStateException();', 'passed'],
  ])('that %s where its tests expect an exception: only throwing passes', async (_, body, verdict) => {
    const tests = `boolean thrown = false; try { f(-1); } catch (Throwable e) { thrown = true; }
      assert thrown;`;
    expect((await judged({ body: `${body}\nreturn x + 1;`, tests }))[0]).toBe(verdict);
  });

  test('called while the class of its tests starts may throw and exit', async () => {
    const started = (body: string) => judged({ body, tests: '}\nstatic Object y = f(1);\nstatic {' });
    expect(await started('throw new IllegalStateException("no");')).toEqual([
      ...['failed', 'exception', 'java.lang.IllegalStateException: no'],
    ]);
    expect((await started('throw new Error("own");'))[1]).toBe('exception');
    expect(await started('System.exit(0); return 2;')).toEqual(['failed', 'exited', expect.any(String)]);
    expect(await started(right.body)).toEqual(passed);
  });

  test('has tests that may print as much as they like', async () => {
    const body = 'return "much".repeat(500_000);';
    const tests = 'for (int i = 0; i < 6; i++) { System.out.println(f(1)); System.err.println(f(1)); }';
    expect(await judged({ body, tests })).toEqual(passed);
  });

  test('whose time is over before its process has started is out of time, not an error', async () => {
    expect((await judged(right, { wallSeconds: 0.02 })).slice(0, 2)).toEqual(['timeout', expect.any(String)]);
  });

  test('keeps its static state between calls, and starts once', async () => {
    const body = 'return calls++ * 10 + starts;\n}\nstatic int calls, starts;\nstatic {\nstarts++;';
    const tests = 'assert f(0).equals(1); assert f(0).equals(11); assert f(0).equals(21);';
    expect(await judged({ body, tests })).toEqual(passed);
  });

  test('may catch its own stack overflow, and leave threads behind', async () => {
    const body = `new Thread(() -> { while (true) Thread.onSpinWait(); }).start();
      try { return deep(x); } catch (StackOverflowError e) { return x + 1; }
      }
      static int deep(int x) { return deep(x) + 1;`;
    expect(await judged({ body })).toEqual(passed);
  });

  test('may have other types than the stub where the tests compile with them too', async () => {
    const program = fixture({
      header: 'static long f(ArrayList<Long> xs, long n)',
      body: 'return 0;',
      tests: 'assert f(new ArrayList<>(List.of(5L)), 2) == 7L;',
    });
    const source = `import java.util.*; class Base { private static int f(Object o) { return 0; }
      private static int f(List<Long> xs, double n) { return (int) (xs.get(0) + n); } }
      class Problem extends Base { void f(List<Long> xs, long n) {} }`;
    const { verdict } = await judge.judge({ ...program, source }, testLimits);
    expect(verdict).toBe('passed');
  });

  test('with overloads is called by the types of the tests', async () => {
    const methods = ['static int f(long x) { return 1; }', 'static int f(Object x) { return 2; }'];
    for (const ordered of [methods, methods.toReversed()]) {
      const source = `class Problem { ${ordered.join(' ')} }`;
      for (const [header, result] of [
        ['static int f(long x)', 1],
        ['static int f(Object x)', 2],
      ] as const) {
        const program = fixture({ header, body: '', tests: `assert f(0L) == ${result};` });
        expect((await judge.judge({ ...program, source }, testLimits)).detail).toBe('');
      }
    }
  });

  test('without the class or the method is told which', async () => {
    const source = (text: string) => judge.judge({ ...fixture(right), source: text }, testLimits);
    const noClass = 'java.lang.NoClassDefFoundError: Problem';
    expect(await source('class Other {}')).toMatchObject({ failure: 'exception', detail: noClass });
    const noMethod = 'java.lang.NoSuchMethodError: Problem.f';
    expect(await source('class Problem {}')).toMatchObject({ failure: 'exception', detail: noMethod });
  });

  test('that writes replies of its own fails', async () => {
    const header = 'static Object f(int x) throws Exception';
    const writing = (bytes: string) => ({
      header,
      body: `new FileOutputStream(FileDescriptor.out).write(${bytes}); while (true) Thread.sleep(1);`,
    });
    const [verdict, failure, detail] = await judged(writing('"hello world".getBytes()'));
    expect([verdict, failure]).toEqual(['failed', 'protocol']);
    expect(detail).toBe('wrote what is no reply: a frame of 1751477356 bytes, 8388672 are allowed');
    const uncalled = `new Thread(() -> { try { Thread.sleep(300); new FileOutputStream(FileDescriptor.out)
      .write(new byte[] {0, 0, 0, 1, 7}); } catch (Exception e) { } }).start(); return x + 1;`;
    const tests = 'f(1); Thread.sleep(2000); f(2);';
    const noCall = 'wrote what is no reply: there was no call';
    expect(await judged({ header, body: uncalled, tests })).toEqual(['failed', 'protocol', noCall]);
    const oneFrame = await judged(writing('new byte[] {0, 0, 0, 1, 7}'));
    expect(oneFrame).toEqual(['failed', 'protocol', 'a malformed reply: an early end']);
  });

  test('keeps its process, whatever it did, but where the class of its tests did not start', () => {
    const confirmed = ['does not compile', 'does not compile with its tests'];
    const notStarted = ['threw a RuntimeException', 'threw an Error'];
    expect(workers()).toBe(1 + confirmed.length + notStarted.length);
  });
});

describe.skipIf(machine === null)('the judge', () => {
  test('replaces a compiler that a source holds up: it had compiled nothing else', async () => {
    const { judge, judged, workers } = newJudge();
    // Each level is attributed twice to find the type of the lambda.
    let value = '1';
    for (let i = 0; i < 40; i++) {
      value = `c(() -> { return new A<Object>() { public Object a() { return ${value}; } }; })`;
    }
    const types = 'interface A<T> { T a(); } static <T> T c(A<T> a) { return null; }';
    const body = `return ${value}; } ${types} static {`;
    const detail = 'the compiler did not end in 10 s';
    expect(await judged({ body })).toEqual(['compile_error', 'compile', detail]);
    expect(await judged(right)).toEqual(passed);
    expect(workers()).toBe(2);
    await judge.close();
  });

  test('survives sources that exhaust the compiler', async () => {
    const { judge, judged } = newJudge();
    const deep = `return ${'('.repeat(400_000)}1${')'.repeat(400_000)};`;
    const doubled = Array.from({ length: 30 }, (_, i) => `static final String s${i + 1} = s${i} + s${i};`);
    const large = `return 2; } static final String s0 = "0123456789"; ${doubled.join('')} static {`;
    for (const body of [deep, large]) {
      expect(await judged({ body })).toEqual(['compile_error', 'compile', expect.any(String)]);
    }
    expect(await judged(right)).toEqual(passed);
    await judge.close();
  });

  test.each([
    ['a thread', 'new Thread(() -> { while (true) Thread.onSpinWait(); }).start();'],
    ['a property', 'System.setProperty("user.dir", "/");'],
    ['another locale', 'Locale.setDefault(Locale.GERMANY);'],
    [
      'a stack overflow of their own',
      'Object[] a = {null}; a[0] = a; try { Arrays.deepToString(a); deep(); } catch (StackOverflowError e) { } } static void deep() { deep(); } static {',
    ],
  ])('replaces its process after tests that leave %s', async (_, tests) => {
    const { judge, judged, workers } = newJudge();
    expect(await judged({ ...right, tests: `assert f(1).equals(2); ${tests}` })).toEqual(passed);
    expect(await judged(right)).toEqual(passed);
    expect(workers()).toBe(2);
    await judge.close();
  });

  test('is not misled by a process that finds errors where there are none', async () => {
    let opened = 0;
    const spoilt: Sandbox = {
      ...machine!,
      open(options) {
        // The second box of the lane is the first worker, the first one compiled the judge.
        if (options.lane !== 2 || ++opened !== 2) return machine!.open(options);
        const command = options.command.map((word) => (word === javatuples ? '/nothing.jar' : word));
        return machine!.open({ ...options, command });
      },
    };
    const { judge, judged, workers } = newJudge(spoilt);
    expect(await judged(right)).toEqual(passed);
    const body = 'return org.javatuples.Pair.with(x + 1, 0).getValue0();';
    expect(await judged({ body })).toEqual(passed);
    expect(workers()).toBe(2);
    expect(await judged({ body: `${body} ` })).toEqual(passed);
    expect(workers()).toBe(2);
    await judge.close();
  });

  /** A sandbox that kills the worker as soon as a candidate starts, the first so many times. */
  const killing = (times: number): Sandbox => {
    let left = times;
    let kill = () => {};
    return {
      ...machine!,
      open(options) {
        if (options.lane === 3 && left-- > 0) kill();
        const box = machine!.open(options);
        if (options.lane === 2) kill = box.kill;
        return box;
      },
    };
  };

  test('tries again once where its own process dies; dying twice is an error, never a verdict', async () => {
    const once = newJudge(killing(1));
    expect(await once.judged(right)).toEqual(passed);
    expect(once.workers()).toBe(2);
    await once.judge.close();
    const twice = newJudge(killing(2));
    await expect(twice.judged(right)).rejects.toThrow(HarnessError);
    expect(await twice.judged(right)).toEqual(passed);
    await twice.judge.close();
  });

  test('passes no program whose process was stopped at a limit, whatever the tests say', async () => {
    const stopping: Sandbox = {
      mode: 'test',
      accounting: { memory: 'proc', time: 'proc' },
      open(options) {
        const box = machine!.open(options);
        if (options.lane !== 3) return box;
        return { ...box, ended: box.ended.then((end) => ({ ...end, stopped: 'memory' })) };
      },
    };
    const { judge, judged } = newJudge(stopping);
    expect(await judged(right)).toEqual(['memory', 'memory', expect.any(String)]);
    await judge.close();
  });

  test('ends tests that go on after the program has', async () => {
    const { judge, judged, workers } = newJudge();
    const body = 'new Thread(() -> Runtime.getRuntime().halt(0)).start();\nreturn x + 1;';
    const tests = 'try { f(1); } finally { while (true) Thread.sleep(1); }';
    const detail = 'the tests did not end with what it returned';
    expect(await judged({ body, tests })).toEqual(['timeout', 'timeout', detail]);
    expect(await judged(right)).toEqual(passed);
    expect(workers()).toBe(2);
    await judge.close();
  });

  test('does not blame a program whose process could not start', async () => {
    const broken: Sandbox = {
      mode: 'test',
      accounting: { memory: 'proc', time: 'proc' },
      open: (options) =>
        machine!.open(options.lane === 3 ? { ...options, command: ['/usr/bin/false'] } : options),
    };
    const { judge, judged } = newJudge(broken);
    await expect(judged(right)).rejects.toThrow(/^java: candidate: code 1, signal null/);
    await judge.close();
  });

  test('says that tests which do not compile are unusable, whoever is judged', async () => {
    const { judge, judged } = newJudge();
    await expect(judged({ ...right, tests: 'assert y;' })).rejects.toThrow(
      /^java: the tests do not compile: line \d+: cannot find symbol/,
    );
    await judge.close();
  });
});
