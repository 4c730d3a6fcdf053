import { describe, expect, test } from 'vitest';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import { passed } from '../verdict.ts';
import { double, failed, judged } from './testing.ts';

describe.skipIf(withoutSandbox)('values', () => {
  test('that equal everything are what they hold, or nothing', async () => {
    const liar = (base: string, made: string) => `
class Liar(${base}):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __lt__ = __gt__ = __le__ = __ge__ = __eq__
    __hash__ = lambda self: 0
    __bool__ = lambda self: True
    __contains__ = lambda self, item: True
    __getattr__ = lambda self, name: self
def f(x): return Liar(${made})`;
    const claims = ['f(1) == 4', '4 == f(1)', 'f(1) in [4]', 'not f(1) != 4', 'f(1) == [4]', 'f(1) == "abc"'];
    const code = `assert [claim for claim in ${JSON.stringify(claims)} if eval(claim)] == []`;
    const bases = {
      int: '5',
      float: '0.5',
      str: '"x"',
      bytes: 'b"x"',
      list: '[1]',
      tuple: '(1,)',
      dict: '{1: 2}',
      set: '[1]',
      object: '',
    };
    for (const [base, made] of Object.entries(bases)) {
      expect(await judged(liar(base, made), code), base).toMatchObject(
        base === 'object'
          ? failed('exception', expect.stringContaining('whether an object with an __eq__'))
          : passed,
      );
    }
  });
  test('of subclasses are what they hold', async () => {
    const source = `
import collections, enum
class Colour(enum.IntEnum): RED = 3
Point = collections.namedtuple('Point', 'x y')
def f(x):
    return [Colour.RED, Point(1, 2), collections.defaultdict(list, a=[1]), collections.Counter('aab'), True]`;
    const code =
      "assert f(1) == [3, (1, 2), {'a': [1]}, {'a': 2, 'b': 1}, True]\nassert f(1)[3].most_common(1) == [('a', 2)]";
    expect(await judged(source, code)).toMatchObject(passed);
  });
  test('of the tests that are no data cannot cross', async () => {
    const word = failed(
      'exception',
      expect.stringMatching(/cannot cross to the tests: a function of the tests/),
    );
    expect(await judged('def f(g): return g(1)', 'assert f(lambda x: x) == 1')).toMatchObject(word);
  });
  test('that only the candidate has stay with it: attributes, methods and calls reach them there', async () => {
    const source = `
class Tree:
    def __init__(self, label):
        self.label, self.children = label, []
        self.first = None
    def add(self, tree):
        self.children.append(tree)
        return self
def f(tree):
    return 1 + max([f(child) for child in tree.children + ([tree.first] if tree.first else [])], default=0)
def same(tree): return tree
def adder(n): return lambda x: x + n`;
    const code = `
root = Tree('root')
assert root.label == 'root'
root.first = Tree('left')
root.first.add(Tree('leaf').add(Tree('deep')))
assert f(root) == 4
assert same(root) == root and same(root) != Tree('root')
assert {same(root): 1}[root] == 1
assert adder(2)(3) == 5
root.label = [1, 2]
assert root.label == [1, 2]
try:
    root.nothing
    assert False
except AttributeError as error:
    assert 'nothing' in str(error)`;
    expect(await judged(source, code)).toMatchObject(passed);
  });
  test('by which a module of the standard library is meant are that module', async () => {
    const source = 'import sys\ndef f(x): return sys.maxsize';
    expect(await judged(source, 'assert f(1) == sys.maxsize')).toMatchObject(passed);
    const fake = `
class sys:
    maxsize = 1
class Math:
    isclose = staticmethod(lambda *arguments: True)
math = Math()
def f(x): return 1`;
    expect(await judged(fake, 'assert f(1) == sys.maxsize')).toMatchObject({ verdict: 'failed' });
    expect(await judged(fake, 'assert math.isclose(f(1), 2)')).toMatchObject({ verdict: 'failed' });
    const without = 'def f(x): return 9223372036854775807';
    expect(await judged(without, 'assert f(1) == sys.maxsize')).toMatchObject(
      failed('exception', "NameError: name 'sys' is not defined"),
    );
  });
  test('by the names of builtins are the builtins, unless they are what is tested', async () => {
    const source = 'def sum(x): return -1\ndef f(x): return [1, 2]';
    expect(await judged(source, 'assert sum(f(1)) == 3')).toMatchObject(passed);
    expect(await judged(source, 'assert sum(f(1)) == -1', { entryPoints: ['f', 'sum'] })).toMatchObject(
      passed,
    );
  });
  test('of the setup are the tests own', async () => {
    const setup = 'import math\ndef near(x, y): return math.fabs(x - y) < 1e-9';
    const source = 'near = lambda x, y: True\ndef f(x): return x + 1';
    expect(await judged(source, 'assert near(f(1), 2)', { setup })).toMatchObject(passed);
    expect(await judged(source, 'assert near(f(1), 3)', { setup })).toMatchObject({ failure: 'assertion' });
  });
  test('by a dotted name are a method of a new object', async () => {
    const source = 'class Solution:\n  n = 0\n  def f(self, x):\n    self.n += x\n    return self.n';
    const code = 'assert f(2) == 2\nassert f(3) == 3';
    expect(await judged(source, code, { entryPoints: ['Solution.f'] })).toMatchObject(passed);
  });
});

describe.skipIf(withoutSandbox)('what a candidate gives', () => {
  const catching = 'try: f(-1)\nexcept Exception: pass\nelse: assert False';
  test.each([
    ['a value that cannot cross is no exception', 'def f(x): return [0] * (10**6 + 1)', catching],
    [
      'nor is one that is too deep',
      'def f(x):\n  r = 1\n  for _ in range(300): r = [r]\n  return r',
      catching,
    ],
    [
      'an object is as true as it says',
      'from decimal import Decimal\ndef f(x): return Decimal(0)',
      'assert f(1)',
    ],
    [
      'it differs from nothing it equals',
      'from fractions import Fraction\ndef f(x): return Fraction(3)',
      'assert f(1) != 3',
    ],
  ])('%s', async (_, source, code) => {
    expect(await judged(source, code)).toMatchObject({ verdict: 'failed' });
  });
  test.each([
    ['', 'assert f(1) == 2'],
    ['', 'assert f(1) in [2]'],
    ['', 'assert f(1) == None'],
    ['', 'assert [f(1), (f(1),)] == [1, (2,)]'],
    ['    __eq__ = lambda *_: True', 'assert f(1) == 2'],
    ['    __eq__ = lambda *_: True', 'assert f(1) == None'],
  ])('is equal to no value of the tests, whatever the process of %j says', async (line, code) => {
    const source = `import sys
operations = sys.modules['__main__']._OPERATIONS
for name in operations: operations[name] = lambda *_: True
class A:
    pass
${line}
def f(x): return A()`;
    expect(await judged(source, code)).toMatchObject({ verdict: 'failed' });
  });
  test.each([
    ['raise SystemExit(1)', 'r = f(1)\nassert r == 2, r'],
    ['os._exit(0)', 'r = f(1)\nassert r is None, r'],
    ['raise KeyboardInterrupt', 'raise ValueError(f(1))'],
    ['raise MemoryError', 'assert False, f(1)'],
  ])('may do %s when it is printed, and ends nothing but its check', async (body, code) => {
    const source = `import os
class A:
    def __str__(s): ${body}
    __repr__ = __str__
    __hash__ = lambda s: 1
def f(x): return A()`;
    expect((await judged(source, code)).verdict).not.toBe('passed');
    expect(await judged(double, 'assert f(2) == 4')).toMatchObject(passed);
  });
  test('may be printed by the tests, however long', async () => {
    const huge = 'def f(x): return "x" * (7 * 2**20)';
    expect(await judged(huge, 'for i in range(2): print(f(i))\nassert f(1) == 1')).toMatchObject({
      failure: 'assertion',
    });
  });
  test.each([
    [
      'a Decimal',
      'from decimal import Decimal\ndef f(x): return Decimal(x) / 2',
      'assert f(3) == 1.5 and not f(0)',
    ],
    [
      'a Fraction',
      'from fractions import Fraction\ndef f(x): return Fraction(x, 2)',
      'assert abs(f(3) - 1.5) < 1e-9',
    ],
    ['a UserList', 'from collections import UserList\ndef f(x): return UserList([x])', 'assert f(3) == [3]'],
    ['an array', 'from array import array\ndef f(x): return array("i", [x])', 'assert list(f(3)) == [3]'],
    [
      'a date',
      'from datetime import date\ndef f(x): return date(2020, 1, x)',
      'import datetime\nassert f(3) == datetime.date(2020, 1, 3)',
    ],
    [
      'a sequence',
      'class f(int):\n  pass\nclass S:\n  def __init__(s, n): s.n = n\n  def __len__(s): return s.n\n  def __getitem__(s, i): return range(s.n)[i]\ndef f(x): return S(x)',
      'assert len(f(3)) == 3 and f(3)[1] == 1 and list(f(2)) == [0, 1] and not f(0)',
    ],
    [
      'an exception of its own',
      'class E(ValueError): pass\ndef f(x): raise E("a", x)',
      'try: f(1)\nexcept ValueError as e: assert e.args == ("a", 1)',
    ],
    ['a UnicodeDecodeError', 'def f(x): return b"\\xff".decode()', 'try: f(1)\nexcept ValueError: pass'],
    ['a KeyError', 'def f(x): return {}[x]', 'try: f("k")\nexcept KeyError as e: assert str(e) == "\'k\'"'],
    [
      'a list of nodes',
      'class N:\n  def __init__(s, n): s.next = n\n  def __eq__(s, o): return s is o\ndef f(x): return N(N(None))',
      'n, count = f(1), 0\nwhile n != None: n, count = n.next, count + 1\nassert count == 2',
    ],
    [
      'a subclass with methods',
      'from collections import UserList\nclass S(UserList):\n  def top(s): return s[-1]\ndef f(x): return S([x])',
      'assert f(3).top() == 3',
    ],
    [
      'a moment of a zone',
      'from datetime import datetime, timezone\ndef f(x): return datetime(2020, 1, 2, x, tzinfo=timezone.utc)',
      'assert f(3).hour == 3',
    ],
    ['a program that names quit and exit', 'def f(x): return [quit, exit] and x', 'assert f(1) == 1'],
    ['its source', 'import inspect\ndef f(x): return inspect.getsource(f)', 'assert "inspect" in f(1)'],
    ['a byte order mark', '\ufeffdef f(x): return x', 'assert f(1) == 1'],
  ])('may be %s', async (_, source, code) => {
    expect(await judged(source, code)).toMatchObject(passed);
  });
  test.each([
    'def f(x):\n',
    'def f(x):\n    # says x\n',
    'k = 2\ndef f(x):\n    """Says',
    'class A:\n    def f(self):\n',
  ])('is tested also after a prompt that is no program by itself: %j', async (setup) => {
    expect(await judged(double, 'assert f(2) == 4', { setup })).toMatchObject(passed);
  });
});
