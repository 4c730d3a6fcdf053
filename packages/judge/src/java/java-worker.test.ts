import { readFileSync } from 'node:fs';
import { describeShared, shared } from '@flex/fixtures';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findJavaHome } from './java-home.ts';
import { openJavaJudge } from './java-judge.ts';
import { message, tagOf, textAt } from './java-messages.ts';
import { judgeClasses, workerLaunch } from './java-processes.ts';
import { javaTester } from './java-stub.ts';
import { type JavaWorker, openJavaWorker } from './java-worker.ts';
import { fixture, javaSandbox, openWorker, runTester, testLimits, watched } from './testing.ts';

const machine = await javaSandbox();

function rowsOf(
  file: string,
): { name: string; task_id: string; prompt: string; tests: string; test: string }[] {
  return readFileSync(shared(`data/${file}`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const int = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const bytes = (...parts: (string | Buffer)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
/** A text as the codec has it. */
const text = (value: string) => message('', value);

describe.skipIf(machine === null)("the worker, whatever a candidate's process sends", () => {
  let worker: JavaWorker;
  beforeAll(async () => {
    worker = await openWorker(machine!);
  });
  afterAll(() => worker.kill());

  /** How tests failed first whose calls get these replies; empty where they did not. */
  const firstFailure = async (tester: string, replies: readonly Buffer[], mainClass?: string) =>
    (await runTester(worker, { tester, mainClass }, (i) => replies[i])).failure;
  const testerOf = (tests: string) => fixture({ body: 'return 1;', tests }).tests.tester;

  test('takes what a driver sends', async () => {
    const tests = 'assert f(1).equals(258L); assert f(1).equals("é");';
    const long = bytes('VJ', int(0), int(258));
    expect(await firstFailure(testerOf(tests), [long, bytes('Vs', text('é'))])).toBe('');
  });

  const billion = int(1e9);
  test.each<[string, Buffer]>([
    ['nothing', bytes()],
    ['an unknown kind', bytes('?')],
    ['an unknown tag', bytes('V?')],
    ['half a number', bytes('VI', int(0))],
    ['more than a value', bytes('V00')],
    ['a list that claims a billion', bytes('VLA', billion)],
    ['a list of a negative count', bytes('VLA', int(-1))],
    ['a list of no kind', bytes('VL?', int(0))],
    ['a text that claims a billion', bytes('Vs', billion)],
    ['a text of as many bytes as characters', bytes('Vs', int(2), 'ab')],
    ['a map that claims a billion', bytes('VmH', billion)],
    ['an array that claims a billion', bytes('V[', text('[J'), billion)],
    ['an array of arrays that claim millions', bytes('V[', text('[[J'), int(4e6), Buffer.alloc(4e6, '0'))],
    ['an array of its own class', bytes('V[', text('[LProblem;'), int(0))],
    ['an array of a dangerous class', bytes('V[', text('[Ljava.net.URL;'), int(0))],
    ['an array of a class that is none', bytes('V[', text('[Ljava.lang.Nothing;'), int(0))],
    ['an array of the wrong elements', bytes('V[', text('[Ljava.lang.String;'), int(1), '+')],
    ['values nested a hundred thousand deep', bytes('V', ...Array(1e5).fill(bytes('LA', int(1))), '0')],
    ['optionals nested a million deep', bytes('V', 'O'.repeat(1e6), '0')],
    ['a million values', bytes('VLA', int(1e6), '0'.repeat(1e6))],
    ['a sorted set of what has no order', bytes('VHT', int(2), '0', 'LA', int(0))],
    ['an integer of no bytes', bytes('VN', int(0))],
    ['an integer of a million bytes', bytes('VN', int(1e6), Buffer.alloc(1e6, 1))],
    ['a tuple of eleven', bytes('Vt', int(11), '0'.repeat(11))],
    ['an exception of another package', bytes('X', text('A'), text('java.io.IOException'), '0')],
    ['an exception that is no exception', bytes('X', text('A'), text('java.lang.String'), '0')],
    ['an exception with a message of another class', bytes('X', text('A'), text('java.lang.Error'), '+')],
  ])('blocks %s', async (_, reply) => {
    expect(await firstFailure(testerOf('f(1);'), [reply])).toMatch(/^b a malformed reply: /);
  });

  test('blocks the answer to another call', async () => {
    const word = new Promise<string>((resolve) => {
      let failure = '';
      worker.ask(message('T', 'Problem', testerOf('f(1);')), (answer) => {
        if (tagOf(answer!) === 'D') return resolve(failure);
        if (tagOf(answer!) === 'F') failure = textAt(answer!, 2);
        if (tagOf(answer!) !== 'c') return;
        worker.send(bytes('R', int(answer!.readInt32BE(1) - 1), 'V0'));
      });
    });
    expect(await word).toBe('a malformed reply: an answer to another call');
  });

  test('makes a plain exception where it cannot make the one that was thrown', async () => {
    const caught = (message: string) =>
      `try { f(1); assert false; }
      catch (RuntimeException e) { assert e.getMessage().equals("${message}"); }`;
    const tests = caught('java.lang.Nothing: m') + caught('java.lang.VerifyErrors');
    const first = bytes('X', text('A'), text('java.lang.Nothing'), 's', text('m'));
    const second = bytes('X', text('A'), text('java.lang.VerifyErrors'), '0');
    expect(await firstFailure(testerOf(tests), [first, second])).toBe('');
  });

  test('tells tests that its values fill its memory apart, and goes on', async () => {
    const map = bytes('VLA', int(80_000), bytes('HL', int(1), 'O0').toString('latin1').repeat(80_000));
    const tests = 'var all = new ArrayList<Object>(); while (true) all.add(f(all.size()));';
    expect(await firstFailure(testerOf(tests), Array(1000).fill(map))).toMatch(/^f /);
    expect(await firstFailure(testerOf('f(1);'), [bytes('V0')])).toBe('');
  });

  test.each([
    ['that says so', '', 'the compiler gave up'],
    ['that hides it behind an ordinary error', 'int wrong = "";', 'line 1: incompatible types'],
  ])('is not as it was after a source that overflows its stack, %s', async (_, error, complaint) => {
    const home = findJavaHome();
    const program = workerLaunch(home, await judgeClasses(machine!, home, 1));
    const other = await openJavaWorker((onOutput) => machine!.open({ ...program, lane: 1, onOutput }));
    const compiled = async (source: string) => (await other.compile(source))?.toString('latin1', 0, 2);
    const sources = [
      'class A { }',
      `class A { ${error} int f(int x) { return x${' + 1'.repeat(60_000)}; } }`,
    ];
    expect(await compiled(sources[0])).toBe('J=');
    const answer = (await other.compile(sources[1]))!;
    expect(answer.toString('latin1', 0, 2)).toBe('E!');
    expect(textAt(answer, 2)).toContain(complaint);
    expect(await compiled('class A { int x = y; }')).toBe('E=');
    other.kill();
  });

  test('survives any reply, right or wrong', async () => {
    const genuine = await genuineReply();
    const change = fc.record({ at: fc.nat(), to: fc.nat(255) });
    const changed = fc
      .record({ changes: fc.array(change, { maxLength: 4 }), length: fc.option(fc.nat()) })
      .map(({ changes, length }) => {
        const reply = Buffer.from(length === null ? genuine : genuine.subarray(0, length % genuine.length));
        for (const { at, to } of changes)
          if (at % (reply.length + 1) < reply.length) reply[at % reply.length] = to;
        return reply;
      });
    const random = fc.uint8Array({ maxLength: 60 }).map((array) => bytes('V', Buffer.from(array)));
    const replies = fc.array(fc.oneof(changed, random), { minLength: 200, maxLength: 200 });
    const tests = `for (int i = 0; i < 200; i++)
      try { String.valueOf(f(i)).hashCode(); } catch (Throwable e) { e.toString(); }`;
    await fc.assert(
      fc.asyncProperty(replies, async (given) => {
        expect(await firstFailure(testerOf(tests), given)).toMatch(/^[pbx] /);
        expect(await firstFailure(testerOf('f(1);'), [bytes('V0')])).toBe('');
      }),
      { numRuns: 5 },
    );
  });

  /** The bytes, without length and number, of a candidate's reply that has every kind of value in it. */
  async function genuineReply(): Promise<Buffer> {
    const sandbox = watched(machine!);
    const judge = openJavaJudge({ sandbox, lane: 0 });
    const body = `return new Object[] {1, 2L, 'c', (byte) 3, 0.5f, 0.5, true, null, "text", BigInteger.TEN,
      new BigDecimal("1.5"), List.of(1), Arrays.asList(2), new LinkedList<>(List.of(3)), Set.of("a"),
      new TreeSet<>(List.of(1, 2)), new HashMap<>(Map.of(1, "b")), Map.entry(1, 2), Optional.of(1),
      OptionalInt.of(2), OptionalDouble.empty(), new int[] {1, 2}, new String[][] {{"x"}, null}};`;
    const { detail } = await judge.judge(fixture({ body, tests: 'assert f(1) != null;' }), testLimits);
    expect(detail).toBe('');
    await judge.close();
    return Buffer.from(sandbox.lastOutput.get(3)!.subarray(8));
  }

  describeShared('data', 'of 158 MultiPL-E and 121 MBXP problems', () => {
    test('compiles the tests, and they call the candidate', async () => {
      const testers = [
        ...rowsOf('multipl-e/humaneval-java.jsonl').map(
          ({ name, prompt, tests }) => [name, javaTester({ prompt, tests }), 'Problem'] as const,
        ),
        ...rowsOf('mbjp.jsonl')
          .filter((_, i) => i % 8 === 0)
          .map(({ task_id, prompt, test: main }) => {
            const tester = javaTester({ prompt, tests: `    }\n}\n${main}` });
            return [task_id, tester, 'Main'] as const;
          }),
      ];
      expect(testers).toHaveLength(158 + 121);
      for (const [name, tester, mainClass] of testers) {
        // Its publisher's tests say Arrays.asList(null), and throw before they call anything.
        const word = name === 'MBJP/920' ? 'x java.lang.NullPointerException' : 'g ';
        expect([name, await firstFailure(tester, [], mainClass)]).toEqual([name, word]);
      }
    });
  });
});
