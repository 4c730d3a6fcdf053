import { describe, expect, test } from 'vitest';
import { HarnessError } from '../errors.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { defaultLimits } from '../sandbox/limits.ts';
import { bubblewrapSandbox, openSandbox } from '../sandbox/sandbox.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { passed } from '../verdict.ts';
import { openPythonJudge } from './python-judge.ts';
import { double, failed, judged } from './testing.ts';

describe.skipIf(withoutSandbox)('the judge of Python programs', () => {
  test('passes a right one', async () => {
    expect(await judged(double, 'assert f(2) == 4\nassert f("a") == "aa"')).toEqual(passed);
  });
  test('tells which test of a wrong one failed, by its message or its line', async () => {
    expect(await judged(double, 'assert f(2) == 4\nassert f(2) == 5  # why')).toMatchObject(
      failed('assertion', 'assert f(2) == 5  # why'),
    );
    expect(await judged(double, 'assert f(2) == 5, "twice two"')).toMatchObject(
      failed('assertion', 'twice two'),
    );
    const within = 'def check(g):\n    for i in range(3):\n        assert g(i) == i\ncheck(f)';
    expect(await judged(double, within)).toMatchObject(failed('assertion', 'assert g(i) == i'));
  });

  test.each([
    ['an exception', 'def f(x): raise ValueError("no good")', 'ValueError: no good'],
    ['a failed assertion of its own', 'def f(x): assert False, "mine"', 'AssertionError: mine'],
    ['an exception of its own', 'class Mine(Exception): pass\ndef f(x): raise Mine("own")', 'Mine: own'],
    [
      'an exception without words',
      'class E(Exception):\n  def __str__(self): raise self\ndef f(x): raise E',
      'E: ',
    ],
    ['an exception as it loads', 'import nothing_of_this_name', /^ModuleNotFoundError: No module named/],
    ['endless recursion', 'def f(x): return f(x)', /^RecursionError: maximum recursion depth/],
    ['no such function', 'def g(x): return x', /^NameError: name 'f' is not defined/],
    [
      'too much to give',
      'def f(x): return "x" * 9_000_000',
      /cannot cross to the tests: more than 8388608 bytes/,
    ],
    ['too many items', 'def f(x): return [0] * (10**6 + 1)', /cannot cross.*more than 1000000 items/],
    [
      'too much memory to give',
      'import collections\ndef f(x): return [collections.deque() for _ in range(330_000)]',
      /cannot cross.*a value of more than 268435456 bytes of memory/,
    ],
    ['a value inside itself', 'def f(x):\n  y = []\n  y.append(y)\n  return y', /cannot cross.*200 levels/],
  ])('fails one that has %s', async (_, source, detail) => {
    const expected = typeof detail === 'string' ? detail : expect.stringMatching(detail);
    expect(await judged(source, 'assert f(2) == 4')).toMatchObject(failed('exception', expected));
  });

  test.each([
    ['by sys.exit as it loads', 'import sys\nsys.exit(0)', /^SystemExit: 0$/],
    ['by sys.exit when called', 'import sys\ndef f(x): sys.exit("bye")', /^SystemExit: bye$/],
    ['by an interrupt', 'def f(x): raise KeyboardInterrupt', /^KeyboardInterrupt/],
    ['by os._exit as it loads', 'import os\nos._exit(0)', /^ended with code 0 before/],
    ['by os._exit when called', 'import os\ndef f(x): os._exit(0)', /^ended with code 0 before/],
    ['by a signal', 'import os\ndef f(x): os.kill(os.getpid(), 9)', /^ended with code 137 before/],
    [
      'by closing its files',
      'import os\ndef f(x):\n  os.closerange(0, 100)\n  return 4',
      /^ended with code \d+ before/,
    ],
    ['by crashing', 'import ctypes\ndef f(x): ctypes.string_at(0)', /^ended with code 139 before/],
  ])('fails one that ended %s', async (_, source, detail) => {
    const word = failed('exited', expect.stringMatching(detail));
    expect(await judged(source, 'assert f(2) == 4')).toMatchObject(word);
  });

  test.each([
    ['does not parse', 'def f(x) return x', /^SyntaxError: /],
    ['is indented wrongly', 'def f(x):\nreturn x', /^IndentationError: /],
    ['holds a null', 'x = "\0"', /null/],
    ['is nested too deeply', `x = ${'-'.repeat(200_000)}1`, /./],
    ['holds a number that is too long', `x = ${'1'.repeat(5000)}`, /^SyntaxError: .*4300/],
  ])('says of one that %s that it does not compile', async (_, source, detail) => {
    expect(await judged(source, 'assert f(2) == 4')).toMatchObject({
      verdict: 'compile_error',
      failure: 'compile',
      detail: expect.stringMatching(detail),
    });
  });

  const quick = { cpuSeconds: 0.4 };
  const timeout = (failure: string) => ({ verdict: 'timeout', failure });
  test('stops one that computes for too long, loading or called', async () => {
    expect(await judged('while True: pass', '', { limits: quick })).toMatchObject(timeout('timeout'));
    const calling = await judged('def f(x):\n  while True: pass', 'f(1)', { limits: quick });
    expect(calling).toMatchObject(timeout('timeout'));
  });
  test('stops one that waits for too long', async () => {
    const waiting = 'import time\ndef f(x): time.sleep(60)';
    expect(await judged(waiting, 'f(1)', { limits: { wallSeconds: 1.5 } })).toMatchObject(
      timeout('never-stopped'),
    );
  });
  test('stops one that uses too much memory', async () => {
    const memory = { verdict: 'memory', failure: 'memory' };
    const large = 'data = bytearray(9 << 30)';
    expect(await judged(large, '')).toMatchObject({ ...memory, detail: 'MemoryError: ' });
    expect(await judged(`def f(x): ${large}`, 'f(1)')).toMatchObject(memory);
    const many = `
import os, time
def f(x):
    for _ in range(4):
        if os.fork() == 0:
            data = os.urandom(1 << 20) * 50
            time.sleep(60)
    time.sleep(60)`;
    expect(await judged(many, 'f(1)', { limits: { memoryBytes: 150 * 2 ** 20 } })).toMatchObject({
      ...memory,
      detail: 'used more memory than its limit',
    });
  });
  test('stops one that prints too much, but lets it print', async () => {
    const flood = 'def f(x):\n  while True: print("x" * 1000)';
    expect(await judged(flood, 'f(1)')).toMatchObject({ verdict: 'output_limit', failure: 'output' });
    const some = 'print("loaded")\ndef f(x):\n  print("x" * 100_000)\n  return x';
    expect(await judged(some, 'for i in range(9): assert f(i) == i')).toMatchObject(passed);
  });
  test('gives one nothing to read', async () => {
    const reading = 'def f(x):\n  try: return input()\n  except EOFError: return "nothing"';
    expect(await judged(reading, 'assert f(1) == "nothing"')).toMatchObject(passed);
  });

  const broken = (detail: RegExp) => failed('protocol', expect.stringMatching(detail));
  const everywhere = (bytes: string) => `
import os
def everywhere():
    for fd in range(3, 30):
        try: os.write(fd, ${bytes})
        except OSError: pass
`;
  const four = 'b"\\0\\0\\0\\x0f" + bytes(8) + b"VI\\0\\0\\0\\x01\\x04"';
  test.each([
    ['before it is asked', `${everywhere(four)}everywhere()\n${double}`],
    [
      'without knowing what it was asked',
      `${everywhere(four)}import time\ndef f(x):\n  everywhere()\n  time.sleep(60)`,
    ],
    ['beside its answer', `${everywhere(four)}def f(x):\n  everywhere()\n  return 4`],
  ])('fails one that answers %s', async (_, source) => {
    const judgement = await judged(source, 'assert f(2) == 4');
    expect(judgement).toMatchObject(broken(/^sent an answer that nobody asked for$/));
  });
  test('fails one that answers twice', async () => {
    // It finds the token of the request on the stack of its own process.
    const twice = `
import os, sys
def f(x):
    frame = sys._getframe()
    while 'token' not in frame.f_locals: frame = frame.f_back
    reply = frame.f_locals['token'] + b'VI\\0\\0\\0\\x01\\x04'
    for fd in range(3, 30):
        try: os.write(fd, len(reply).to_bytes(4, 'big') + reply)
        except OSError: pass
    return 5`;
    expect(await judged(twice, 'assert f(2) == 4\nassert f(2) == 4')).toMatchObject(
      broken(/nobody asked for/),
    );
  });
  test('fails one whose answer is too long', async () => {
    const endless = everywhere('b"\\xff" * 64');
    expect(await judged(`${endless}everywhere()`, '')).toMatchObject(
      broken(/^sent a frame of 4294967295 bytes/),
    );
  });
  test('does not fail itself where two processes of one answer', async () => {
    const forking = 'import os\ndef f(x):\n  os.fork()\n  return 4';
    const { verdict } = await judged(forking, 'assert f(2) == 4\nassert f(2) == 4');
    expect(['passed', 'failed']).toContain(verdict);
  });
  test('does not show one the tests', async () => {
    const looking = `
import gc, os, sys
def f(x):
    found = [open(os.path.join(d, name), 'rb').read() for d, _, names in os.walk('/flex') for name in names]
    found += [repr(o).encode() for o in gc.get_objects() if type(o) in (dict, tuple, list)]
    found += [open(f'/proc/{p}/cmdline', 'rb').read() for p in os.listdir('/proc') if p.isdigit()]
    return b'secret' + b'-word' in b''.join(found)`;
    expect(await judged(looking, 'answer = "secret-word"\nassert f(1) is False')).toMatchObject(passed);
  });
});

describe.skipIf(withoutSandbox)('tests', () => {
  test.each([
    'try: f(1)\nexcept Exception: pass',
    'try: f(1)\nexcept: pass',
    'try: f(1)\nexcept BaseException: pass',
    'try:\n  f(1)\nfinally:\n  f = None',
    'import contextlib\nwith contextlib.suppress(BaseException): f(1)',
  ])('that catch everything do not pass a candidate that is gone: %j', async (code) => {
    const dying = 'import os\ndef f(x): os._exit(0)';
    expect(await judged(dying, code)).toMatchObject({ verdict: 'failed', failure: 'exited' });
    const late = await judged('def f(x):\n  while True: pass', code, { limits: { cpuSeconds: 0.3 } });
    expect(late).toMatchObject({ verdict: 'timeout' });
  });
  test('that catch exceptions do not catch that the candidate ends the program', async () => {
    const code = 'try: f(1)\nexcept Exception: pass';
    expect(await judged('import sys\ndef f(x): sys.exit(3)', code)).toMatchObject(
      failed('exited', 'SystemExit: 3'),
    );
  });
  test('may expect an exception', async () => {
    const code = 'try:\n  f(1)\n  assert False\nexcept KeyError as error:\n  assert "gone" in str(error)';
    expect(await judged('def f(x): raise KeyError("gone")', code)).toMatchObject(passed);
    expect(await judged(double, code)).toMatchObject({ failure: 'assertion' });
  });
  test('that hang are stopped when the candidate has used up its time, and the next ones run', async () => {
    const limits = { wallSeconds: 0.5 };
    const started = performance.now();
    const hanging = await judged(double, 'f(1)\nwhile True: pass', { limits });
    expect(hanging).toMatchObject({ verdict: 'timeout' });
    expect(performance.now() - started).toBeLessThan(5000);
    const endless = await judged('def f(x): return range(10**18)', 'sum(f(1))', { limits });
    expect(endless).toMatchObject({ verdict: 'timeout' });
    expect(await judged(double, 'assert f(2) == 4')).toMatchObject(passed);
  });
  test('that fail with a number too long to print are a failure like any other', async () => {
    const huge = await judged('def f(x): return 10**5000', 'n = f(1)\nassert n == 1, n');
    expect(huge).toMatchObject(failed('assertion', expect.stringMatching(/4300 digits/)));
    const raised = await judged('def f(x): return 10**5000', 'raise ValueError(f(1))');
    expect(raised).toMatchObject(failed('exception', expect.stringMatching(/^ValueError: /)));
  });
  test('leave nothing to the tests after them', async () => {
    const spoiling = 'import builtins, sys\nbuiltins.abs = None\nsys.left = 1\nf.left = 1';
    expect(await judged(double, spoiling)).toMatchObject(passed);
    expect(
      await judged(
        double,
        'import sys\nassert abs(f(-1)) == 2\nassert not hasattr(f, "left") and not hasattr(sys, "left")',
      ),
    ).toMatchObject(passed);
  });
  test('whose own process dies are a failure of the harness, after which the next ones run', async () => {
    await expect(judged(double, 'import os\nos.kill(os.getpid(), 9)')).rejects.toThrow(HarnessError);
    await expect(judged(double, 'import os\nos._exit(0)')).rejects.toThrow(/status 0 and no result/);
    expect(await judged(double, 'assert f(2) == 4')).toMatchObject(passed);
  });
  test('with an error in them say so', async () => {
    expect(await judged(double, 'assert f(2 == 4')).toMatchObject(
      failed('exception', expect.stringMatching(/^SyntaxError: /)),
    );
    expect(await judged(double, 'undefined(f)')).toMatchObject(
      failed('exception', "NameError: name 'undefined' is not defined"),
    );
  });
});

describe.skipIf(withoutSandbox)('a judge', () => {
  test('can be closed before it was used, twice, and used again', async () => {
    const own = openPythonJudge({ sandbox: await openSandbox(), lane: 5 });
    await own.close();
    const tests = {
      kind: 'python-calls',
      setup: '',
      code: 'f(1)',
      entryPoints: ['f'],
      inProcess: '',
    } as const;
    const program = { language: 'py', source: double, tests } as const;
    expect(await own.judge(program, defaultLimits)).toMatchObject(passed);
    await own.close();
    await own.close();
    expect(await own.judge(program, defaultLimits)).toMatchObject(passed);
    await own.close();
  });
  test('leaves no box behind for its candidates', async () => {
    const real = await openSandbox();
    let open = 0;
    const counting: Sandbox = {
      ...real,
      open(options) {
        const box = real.open(options);
        open++;
        void box.ended.finally(() => open--);
        return box;
      },
    };
    const own = openPythonJudge({ sandbox: counting, lane: 6 });
    const tests = {
      kind: 'python-calls',
      setup: '',
      code: 'f(1)',
      entryPoints: ['f'],
      inProcess: '',
    } as const;
    for (const source of [double, 'x(', 'import os; os._exit(0)', 'def f(x): raise x']) {
      await own.judge({ language: 'py', source, tests }, defaultLimits);
      expect(open).toBe(1);
    }
    await own.close();
    expect(open).toBe(0);
  });
  test('whose boxes cannot be made fails as a harness', async () => {
    const broken = bubblewrapSandbox('/usr/bin/false', 'bubblewrap', Buffer.alloc(0));
    const own = openPythonJudge({ sandbox: broken, lane: 7 });
    const tests = { kind: 'python-calls', setup: '', code: '', entryPoints: [], inProcess: '' } as const;
    await expect(own.judge({ language: 'py', source: '', tests }, defaultLimits)).rejects.toThrow(
      HarnessError,
    );
  });
});

describe.skipIf(withoutSandbox)('a reply that a program forges with the token it found', () => {
  /** A candidate whose f sends this expression of bytes in place of its reply. */
  const forging = (bytes: string) => `
import sys, time
from flex_codec import encode

def f(x):
    frame = sys._getframe()
    while "token" not in frame.f_locals:
        frame = frame.f_back
    frame.f_globals["_reply"](frame.f_locals["token"], ${bytes})
    time.sleep(60)
`;

  test.each([
    ['nothing', 'b""', 'sent a reply of no known kind'],
    ['no value', 'b"V"', /^sent bytes that are no value/],
    ['an exception of three parts', 'b"E" + encode(("a", "b", "c"), None)', /^sent an exception without/],
    ['an exception that is a number', 'b"E" + encode(5, None)', /^sent an exception without/],
  ])('%s is a broken protocol', async (_, bytes, detail) => {
    const judgement = await judged(forging(bytes), 'assert f(2) == 4');
    const expected = typeof detail === 'string' ? detail : expect.stringMatching(detail);
    expect(judgement).toMatchObject(failed('protocol', expected));
  });

  test.each([
    ['an exception', 'b"E" + encode((ValueError, "ValueError", "\\0" * 8_388_000, []), None)', 'ValueError'],
    ['the name of an exception', 'b"E" + encode((ValueError, "\\0" * 8_388_000, "", []), None)', ''],
    ['a reason', 'b"C" + b"\\xff" * 8_388_000', 'cannot cross'],
  ])('%s of 8 MiB is cut short and ends nothing but the check', async (_, bytes, words) => {
    const judgement = await judged(forging(bytes), 'assert f(2) == 4');
    expect(judgement).toMatchObject(failed('exception', expect.stringContaining(words)));
    expect(judgement.detail.length).toBeLessThan(2000);
    expect(await judged(double, 'assert f(2) == 4')).toMatchObject(passed);
  });

  test('by tests that run where they are the main program', async () => {
    const code = "if __name__ == '__main__':\n  assert f(1) == 3";
    expect(await judged(double, code)).toEqual(failed('assertion', 'assert f(1) == 3'));
  });
});
