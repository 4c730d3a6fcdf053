import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { judgeAll } from '../judge-all.ts';
import { openJudgementCache } from '../judgement-cache.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { passed } from '../verdict.ts';
import { judged } from './testing.ts';

/** A value or use, an honest candidate with it, and tests that it passes in plain Python. */
type Row = readonly [use: string, source: string, code: string];

const point = 'from collections import namedtuple\nPoint = namedtuple("Point", "x y")\n';
const own = 'class Low(ValueError): pass\nclass Lower(Low): pass\ndef f(x): raise Lower("by", x)';
const manager =
  'import contextlib\nlog = []\n@contextlib.contextmanager\ndef f(x):\n  log.append("in")\n  try: yield x\n' +
  '  except KeyError: log.append("caught")\n  finally: log.append("out")\ndef g(): raise KeyError(1)\n';
const slow = 'import asyncio\nasync def f(x):\n  await asyncio.sleep(0.001)\n  return [x]';

/** What the tests of a problem may do with what a candidate gives. */
const crossing: readonly Row[] = [
  [
    'numbers, texts, bytes, None, `...`',
    'def f(x): return [x, 1.5, 2j, "a", b"b", None, ...]',
    'assert f(1) == [1, 1.5, 2j, "a", b"b", None, ...]',
  ],
  [
    'lists, tuples, sets, dicts, views, ranges',
    'def f(x): return [(x,), {x}, {x: 2}, {x: 2}.keys(), range(x)]',
    'assert f(1)[:3] == [(1,), {1}, {1: 2}] and f(1)[3] == {1} and f(1)[4] == range(1)',
  ],
  [
    '`Decimal`, `Fraction`, dates, `array`',
    'from decimal import Decimal\nfrom datetime import date\ndef f(x): return [Decimal(x), date(2020, 1, x)]',
    'import datetime\nassert f(1) == [1, datetime.date(2020, 1, 1)]',
  ],
  [
    '`Counter`, `OrderedDict`, `deque`',
    'import collections\ndef f(x): return [collections.Counter(x), collections.deque(x)]',
    'assert f("aab")[0].most_common(1) == [("a", 2)] and f("ab")[1].pop() == "b"',
  ],
  [
    'named tuples by their fields',
    `${point}def f(x): return [Point(x, 2)]`,
    'p = f(1)[0]\nassert (p.x, p.y) == p == (1, 2) and p._replace(x=3).x == 3 and repr(p) == "Point(x=1, y=2)"',
  ],
  [
    '`defaultdict` by its default',
    'import collections\ndef f(x): return [collections.defaultdict(list, a=[x]), collections.defaultdict(lambda: 7)]',
    'd, e = f(1)\nassert d == {"a": [1]} and d["b"] == [] and e["c"] == 7',
  ],
  [
    'iterators and generators, endless ones too',
    'def f(x):\n  while True:\n    yield x\n    x += 1',
    'import itertools\ng = f(1)\nassert next(g) == 1 and list(itertools.islice(g, 100)) == [*range(2, 102)]',
  ],
  [
    '`send` and `close` of a generator',
    'def f(x):\n  while True: x += yield x',
    'g = f(1)\nnext(g)\nassert g.send(5) == 6\ng.close()\nassert list(g) == []',
  ],
  [
    'objects of own classes: attributes, methods, items, `len`, `str`',
    'class A:\n  def __init__(s, x): s.x = x\n  def twice(s): return 2 * s.x\n  def __str__(s): return "A"\ndef f(x): return A(x)',
    'a = f(1)\na.x += 1\nassert a.x == 2 and a.twice() == 4 and str(a) == "A"',
  ],
  [
    'context managers, and exceptions of the candidate in them',
    `${manager}`,
    'with f(3) as y:\n  assert y == 3\n  g()\nassert log == ["in", "caught", "out"]',
  ],
  [
    'own exceptions by their names and those of their bases',
    own,
    'try: f(1)\nexcept Low as e: assert e.args == ("by", 1) and type(e).__name__ == "Lower"\nelse: assert False',
  ],
  [
    'coroutines, by `asyncio.run` and `await`',
    slow,
    'import asyncio\nasync def both(): return [await f(1), *await asyncio.gather(f(2), f(3))]\nassert asyncio.run(f(1)) == [1] and asyncio.run(both()) == [[1], [2], [3]]',
  ],
  [
    'what is printed, where tests redirect `sys.stdout`',
    'def f(x): print("said", x)',
    'import contextlib, io\nout = io.StringIO()\nwith contextlib.redirect_stdout(out): f(1)\nassert out.getvalue() == "said 1\\n"',
  ],
  [
    '`inspect.signature`, `__name__` and `__doc__`',
    'def f(x: int, *, y=[2], **z):\n  "Doc."',
    'import inspect\np = inspect.signature(f).parameters\nassert [*p] == ["x", "y", "z"] and p["y"].default == [2] and p["x"].annotation is int and f.__name__ == "f" and f.__doc__ == "Doc."',
  ],
  ['functions, called by the tests', 'def f(n): return lambda x: x + n', 'assert f(2)(3) == 5'],
];

/** What fails without a canonical solution, and is judged in one process where that fails isolated, too. */
const rescued: readonly Row[] = [
  ['functions of the tests as arguments', 'def f(g): return g(1)', 'assert f(lambda x: x + 1) == 2'],
  ['arguments that are changed in place', 'def f(x): x.append(1)', 'a = []\nf(a)\nassert a == [1]'],
  ['whether a result is its argument (`is`)', 'def f(x): return x', 'a = []\nassert f(a) is a'],
  [
    'a nan in a list, equal to itself alone',
    'import math\ndef f(x): return [math.nan]',
    'import math\nassert f(1) == [math.nan]',
  ],
  ['`isinstance` of own classes', 'class A: pass\ndef f(x): return A()', 'assert isinstance(f(1), A)'],
  [
    'an own `__eq__` against a value of the tests',
    'class A:\n  __eq__ = lambda s, o: o == 1\ndef f(x): return A()',
    'assert f(1) == 1',
  ],
  [
    'operators of own classes',
    'class A:\n  def __add__(s, o): return o\ndef f(x): return A()',
    'assert f(1) + 2 == 2',
  ],
  [
    'asynchronous iterators',
    'async def f(x): yield x',
    'import asyncio\nasync def all_of(): return [y async for y in f(1)]\nassert asyncio.run(all_of()) == [1]',
  ],
  [
    'an exception of the tests in a context manager',
    'import contextlib\ndef f(x): return contextlib.suppress(KeyError)',
    'with f(1): raise KeyError',
  ],
  [
    '`input` given by the tests',
    'def f(x): return input()',
    'import builtins\nbuiltins.input = lambda: "a"\nassert f(1) == "a"',
  ],
  [
    'names of the candidate that the tests set',
    'k = 1\ndef f(x): return k',
    'globals()["k"] = 2\nassert f(1) == 2',
  ],
  [
    'more than 8 MiB or 1,000,000 items',
    'def f(x): return [0] * (10**6 + 1)',
    'assert len(f(1)) == 10**6 + 1',
  ],
];

const table = (rows: readonly Row[], word: string) => rows.map(([use]) => `| ${use} | ${word} |\n`).join('');
const document = new URL('../../../../docs/judge-values.md', import.meta.url);

test('docs/judge-values.md lists what crosses and what does not', () => {
  const lines = `${table(crossing, 'crosses')}${table(rescued, 'rescued')}`;
  expect(readFileSync(document, 'utf8')).toContain(`| Value or use | |\n|---|---|\n${lines}\n`);
});

describe.skipIf(withoutSandbox)('between a candidate and its tests', () => {
  test.each(crossing)('%s: crosses', async (_, source, code) => {
    expect(await judged(source, code)).toEqual(passed);
  });
  test.each(rescued)('%s: only where a canonical solution needs it', async (_, source, code) => {
    const tests = {
      kind: 'python-calls',
      setup: '',
      code,
      entryPoints: ['f'],
      inProcess: `\n${code}\n`,
    } as const;
    const program = { language: 'py', source: `${source}\n`, tests } as const;
    const [alone, beside] = await judgeAll(
      [
        { program, canonical: null },
        { program, canonical: program },
      ],
      {
        sandbox: await openSandbox(),
        lanes: 1,
        timeout: null,
        toolchains: {},
        cache: openJudgementCache(null),
      },
    );
    expect(alone).toMatchObject({ verdict: 'failed', assurance: 'isolated' });
    expect(beside).toMatchObject({ verdict: 'passed', assurance: 'in-process' });
  });
});
