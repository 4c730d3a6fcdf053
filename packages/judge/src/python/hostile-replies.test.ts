import { describe, expect, test } from 'vitest';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { passed } from '../verdict.ts';
import { double, failed, judged } from './testing.ts';

/** A candidate whose f sends the value of these bytes in place of its reply. */
const forging = (bytes: string) => `
import sys
from flex_codec import encode
def size(n): return n.to_bytes(4, "big")
def f(x):
    frame = sys._getframe()
    while "token" not in frame.f_locals: frame = frame.f_back
    frame.f_globals["_reply"](frame.f_locals["token"], ${bytes})
    import time
    time.sleep(60)
`;
const wide = (tag: string) => `b"VL" + size(400) + (b"L" + size(4000) + b"${tag}\\0\\0\\0\\0" * 4000) * 400`;

describe.skipIf(withoutSandbox)('the process of the tests lives on, after', () => {
  const patient = { limits: { wallSeconds: 60, cpuSeconds: 60 } };
  test.each(['E', 'M', 'q', 'o', 'K'])('8 MiB of empty containers: %s', async (tag) => {
    expect(await judged(forging(wide(tag)), 'assert f(1) == 1', patient)).toMatchObject(
      failed('protocol', expect.stringMatching(/^sent a value of more than \d+ bytes of memory$/)),
    );
    expect(await judged(double, 'assert f(2) == 4')).toEqual(passed);
  });
  test.each(['L', 'U'])('8 MiB of empty containers which a value may have: %s', async (tag) => {
    expect(await judged(forging(wide(tag)), 'assert f(1) == 1', patient)).toMatchObject(
      failed('assertion', 'assert f(1) == 1'),
    );
  });

  const bombs: readonly (readonly [string, string])[] = [
    [
      'classes of exceptions without end',
      'b"V" + b"x" + size(3) + encode(9, None) + encode("E", None) + b"L" + size(1) + encode(5, None)',
    ],
    [
      'named tuples of too many classes',
      'b"VL" + size(2000) + b"".join(b"n" + size(2) + encode(f"T{i}", None) + b"U" + size(0) for i in range(2000))',
    ],
    [
      'a namedtuple whose field is code',
      'b"Vn" + size(3) + encode("T", None) + b"U" + size(1) + encode("x=exit()", None) + b"N"',
    ],
    ['a default that is no function', 'b"Vd" + size(1) + encode(5, None)'],
    ['iterators that give no lists', 'b"VXi" + encode(0, None)'],
    ['a long int', 'b"VI" + size(8_000_000) + b"\\x7f" * 8_000_000'],
    ['surrogates alone', 'b"VS" + size(6_000_000) + b"\\xed\\xa0\\x80" * 2_000_000'],
  ];
  test.each(bombs)('%s', async (_, bytes) => {
    const code = 'assert f(1) == 1\nassert list(f(1)) == 1, f(1)';
    const { verdict } = await judged(forging(bytes), code, { limits: { wallSeconds: 2 } });
    expect(['failed', 'timeout', 'memory']).toContain(verdict);
    expect(await judged(double, 'assert f(2) == 4')).toEqual(passed);
  });

  test('keys of one hash, within the time of the check', async () => {
    const keys = 'b"VE" + size(300_000) + b"".join(encode(i * (2**61 - 1), None) for i in range(300_000))';
    const finding = await judged(forging(keys), 'assert f(1) == 1', { limits: { wallSeconds: 2 } });
    expect(finding).toMatchObject({ verdict: 'timeout' });
    expect(await judged(double, 'assert f(2) == 4')).toEqual(passed);
  });

  test('answers with which the tests fill their own memory: the candidate has failed by memory', async () => {
    const endless = 'import itertools\ndef f(x): return (b"x" * (7 * 2**20) for _ in itertools.count())';
    expect(await judged(endless, 'kept = list(f(1))', patient)).toMatchObject({
      verdict: 'memory',
      failure: 'memory',
      detail: 'filled the memory of the tests with its answers',
    });
    expect(await judged(double, 'assert f(2) == 4')).toEqual(passed);
  });

  test('answers after which its process ends: the candidate has failed, the first failure is reported', async () => {
    const dying = 'import os\nif f(2) == 4: os._exit(3)';
    expect(await judged(double, dying)).toMatchObject(failed('protocol', expect.stringMatching(/status 3/)));
    const killed = 'import os\nif f(2) == 4: os.kill(os.getpid(), 9)';
    expect(await judged(double, killed)).toMatchObject(failed('protocol', expect.stringMatching(/twice$/)));
    const after = 'import os\nassert f(2) == 5\nos.kill(os.getpid(), 9)';
    expect(await judged(double, after)).toMatchObject(failed('assertion', 'assert f(2) == 5'));
    expect(await judged(double, 'assert f(2) == 4')).toEqual(passed);
  });

  test.each([
    ['for want of memory', 'resource.setrlimit(resource.RLIMIT_AS, (size, size))', 'memory'],
    [
      'by an alarm',
      'signal.signal(signal.SIGALRM, stop), signal.setitimer(signal.ITIMER_REAL, 0.3)',
      'exception',
    ],
  ])('a reply that was not read %s is no check of the next program', async (_, interrupt, failure) => {
    const code = "__import__('sys').modules['__main__'].read_frame()";
    const check = JSON.stringify({ setup: '', code, entryPoints: [] });
    const poison = `(lambda check: size(len(check)) + check + size(2**22) + b" " * 2**22)(${JSON.stringify(check)}.encode())`;
    const late = forging(poison).replace('    frame =', '    import time; time.sleep(0.6)\n    frame =');
    const interrupted = `import resource, signal
def stop(*_): raise ValueError
size = int(open("/proc/self/statm").read().split()[0]) * 4096 + 3 * 2**20
${interrupt}
try:
    f(1)
except Exception:
    pass
import time; time.sleep(1)`;
    expect(await judged(late, interrupted)).toMatchObject({ failure });
    expect(await judged(double, 'assert f(2) == 5')).toEqual(failed('assertion', 'assert f(2) == 5'));
  });
});
