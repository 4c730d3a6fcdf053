import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const python = '/usr/bin/python3';

/** Runs a program with the codec, on JSON. */
function run<T>(program: string, input: unknown): T {
  const text = `
import collections, json, math, sys
sys.path.insert(0, ${JSON.stringify(import.meta.dirname)})
from flex_codec import CannotCross, decode, encode
from remote import Remote
given = json.load(sys.stdin)
def refuse(value):
    raise CannotCross(type(value).__name__)
def resolve(kind, content):
    return content if kind == b'Y' else refuse(content)
${program}`;
  const options = { input: JSON.stringify(input), encoding: 'utf8', maxBuffer: 2 ** 26 } as const;
  return JSON.parse(execFileSync(python, ['-I', '-S', '-B', '-c', text], options)) as T;
}

/** Says of a value what it is, down to the types of its parts, the order of pairs, and signs of zeros. */
const describeValue = `
def say(value):
    kind = type(value).__name__
    if isinstance(value, (list, tuple, collections.deque)):
        return [kind, *map(say, value)]
    if isinstance(value, (set, frozenset)):
        return [kind, *sorted(map(say, value), key=repr)]
    if isinstance(value, dict):
        return [kind, *([say(k), say(v)] for k, v in value.items())]
    if kind in ('dict_keys', 'dict_values', 'dict_items'):
        return [kind, *map(say, value)]
    if hasattr(value, '__next__'):
        return ['iterator', *map(say, value)]
    return [kind, ascii(value)]
`;

/** Python expressions of plain values. */
const { value } = fc.letrec<{ hashable: string; value: string }>((tie) => {
  const joined = (items: fc.Arbitrary<string>) =>
    fc.array(items, { maxLength: 4 }).map((parts) => parts.map((part) => `${part},`).join(''));
  const text = fc
    .oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.nat({ max: 0xffff }).map((n) => String.fromCharCode(n)) }),
    )
    .map((s) => `json.loads(${JSON.stringify(JSON.stringify(s))})`);
  const bytes = fc.uint8Array({ maxLength: 12 }).map((b) => `bytes([${b}])`);
  const float = fc.oneof(
    fc
      .double({ noNaN: true, noDefaultInfinity: true })
      .map((x) => (Object.is(x, -0) ? '-0.0' : `float(${x})`)),
    fc.constantFrom("float('nan')", "float('inf')", "-float('inf')", '-0.0', '5e-324', '0.1'),
  );
  const integer = fc.oneof(
    fc.bigInt().map(String),
    fc.constantFrom(
      '-128',
      '127',
      '128',
      '255',
      '256',
      '-129',
      '2**63',
      '-2**63',
      '10**4000',
      '-7**3000',
      '0',
      '-1',
    ),
  );
  const scalar = fc.oneof(
    fc.constantFrom('None', 'True', 'False', 'int', 'list', 'ValueError', 'object'),
    integer,
    float,
    fc.tuple(float, float).map(([re, im]) => `complex(${re}, ${im})`),
    text,
    bytes,
    fc.tuple(integer, integer, fc.integer({ min: 1, max: 9 })).map(([a, b, c]) => `range(${a}, ${b}, ${c})`),
  );
  const pairs = joined(fc.tuple(tie('hashable'), tie('value')).map(([k, v]) => `(${k}, ${v})`));
  return {
    hashable: fc.oneof(
      { depthSize: 'small' },
      scalar,
      joined(tie('hashable')).map((items) => `(${items})`),
      joined(tie('hashable')).map((items) => `frozenset([${items}])`),
    ),
    value: fc.oneof(
      { depthSize: 'small' },
      scalar,
      bytes.map((b) => `bytearray(${b})`),
      joined(tie('value')).map((items) => `[${items}]`),
      joined(tie('value')).map((items) => `(${items})`),
      joined(tie('hashable')).map((items) => `set([${items}])`),
      joined(tie('value')).map((items) => `collections.deque([${items}])`),
      joined(tie('value')).map((items) => `iter([${items}])`),
      joined(tie('value')).map((items) => `(x for x in [${items}])`),
      joined(tie('hashable')).map((items) => `collections.Counter([${items}])`),
      pairs.map((items) => `dict([${items}])`),
      pairs.map((items) => `collections.OrderedDict([${items}])`),
      pairs.map((items) => `dict([${items}]).keys()`),
      pairs.map((items) => `dict([${items}]).values()`),
      pairs.map((items) => `dict([${items}]).items()`),
    ),
  };
});

describe.skipIf(!existsSync(python))('the codec', () => {
  test('gives back every plain value as it was, down to its types', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 20, maxLength: 60 }), (expressions) => {
        const different = run(
          `${describeValue}
def again(value):
    return decode(encode(value, refuse), resolve)
print(json.dumps([text for text in given if say(eval(text)) != say(again(eval(text)))]))`,
          expressions,
        );
        expect(different).toEqual([]);
      }),
      { numRuns: 12 },
    );
  });
  test('says what cannot cross, and never does anything else with it', () => {
    const refused = run<string[]>(
      `
class Evil:
    def __getattribute__(self, name): raise SystemExit(name)
def result(make):
    try:
        encode(make(), refuse)
        return 'crossed'
    except CannotCross as error:
        return str(error)
def deep(levels):
    value = []
    for _ in range(levels): value = [value]
    return value
def around():
    value = []
    value.append(value)
    return value
shared = []
for _ in range(100): shared = [shared, shared]
print(json.dumps([result(make) for make in (
    lambda: print, lambda: lambda: 1, lambda: object(), lambda: sys,
    lambda: Evil(), lambda: [1, {2: {Evil()}}],
    lambda: deep(199), lambda: deep(201), around, lambda: shared,
    lambda: b'x' * (8 << 20), lambda: [None] * (10**6 + 1), lambda: iter(int, 1),
)]))`,
      null,
    );
    const levels = 'more than 200 levels deep';
    const bytes = 'more than 8388608 bytes';
    const items = 'more than 1000000 items';
    expect(refused).toEqual([
      ...['builtin_function_or_method', 'function', 'object', 'module', 'Evil', 'Evil'],
      ...['crossed', levels, levels, bytes, bytes, items, items],
    ]);
  });
  test('leaves what is no plain data where it is, and knows it again', () => {
    const program = `
class Thing: pass
things = [Thing(), Thing()]
sent = encode([things[0], {'a': things[1]}, things[0]], things.index)
received = decode(sent, lambda kind, number: Remote(kind, number, lambda *request: False, refuse))
back = decode(encode(received, refuse), lambda kind, number: things[number])
print(json.dumps([back[0] is things[0], back[1]['a'] is things[1], received[0] == received[2],
    received[0] == received[1]['a'], received[0] == 0]))`;
    expect(run(program, null)).toEqual([true, true, true, false, false]);
  });

  /** Decodes each of these bytes; gives how many were a value. All else must be CannotCross. */
  const decodeAll = `
def decodes(data):
    try:
        decode(data, lambda kind, content: 1 if kind in b'xY' or type(content) is int else 1 / 0)
        return True
    except CannotCross:
        return False
`;
  const onlyRefuses = (bytes: readonly Uint8Array[]) =>
    run<number>(
      `${decodeAll}print(sum(decodes(bytes(data)) for data in given))`,
      bytes.map((b) => [...b]),
    );

  test('refuses bytes that are no value, and does nothing else with them', () => {
    const tags = fc.constantFrom(...'NTF.IDJSBALUEZMRKVPcoqidnOxXY'.split('').map((c) => c.charCodeAt(0)));
    const small = fc.nat({ max: 3 }).map((n) => [0, 0, 0, n]);
    const piece = fc.oneof(
      fc.tuple(tags, small).map(([tag, size]) => [tag, ...size]),
      fc.uint8Array({ maxLength: 4 }).map((b) => [...b]),
      tags.map((tag) => [tag]),
      fc.constantFrom(...['nan', '0x1p+0', 'exit', 'eval', '-inf 1'].map((s) => [...Buffer.from(s)])),
    );
    const bytes = fc.array(piece, { maxLength: 12 }).map((pieces) => Uint8Array.from(pieces.flat()));
    fc.assert(
      fc.property(fc.array(fc.oneof(bytes, fc.uint8Array()), { minLength: 500, maxLength: 800 }), (all) => {
        expect(onlyRefuses(all)).toBeLessThan(all.length);
      }),
      { numRuns: 8 },
    );
  });
  test('refuses what a value becomes when its bytes are changed, or gives another value', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 10, maxLength: 20 }), fc.nat(), (expressions, seed) => {
        const program = `${decodeAll}
import random
random.seed(given[1])
def changed(data):
    data = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(data) + 1)
        data[at:at + random.randrange(3)] = random.randbytes(random.randrange(3))
    return bytes(data)
encoded = [encode(eval(text), refuse) for text in given[0]]
print(sum(decodes(changed(data)) for data in encoded for _ in range(30)))`;
        expect(run<number>(program, [expressions, seed])).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 8 },
    );
  });
  test.each([
    ['nothing', []],
    ['a tag alone', ['I']],
    ['a size beyond the bytes', ['S', 0, 0, 1, 0, 'x']],
    ['more items than bytes', ['L', 0xff, 0xff, 0xff, 0xff]],
    ['something after the value', ['N', 'N']],
    ['a list as a key', ['E', 0, 0, 0, 1, 'L', 0, 0, 0, 0]],
    ['a reference that is a list', ['Xo', 'L', 0, 0, 0, 0]],
    ['a reference that is true', ['Xo', 'T']],
    ['a function of builtins', ['Y', 0, 0, 0, 4, 'eval']],
    ['a module of builtins', ['Y', 0, 0, 0, 8, '__spec__']],
    ['a range of a text', ['R', 0, 0, 0, 1, 'S', 0, 0, 0, 1, 'a']],
    ['a range without steps', ['R', 0, 0, 0, 3, ...Array(3).fill(['I', 0, 0, 0, 1, 0]).flat()]],
    ['text that is no UTF-8', ['S', 0, 0, 0, 1, 0xff]],
    ['a number that is none', ['D', 0, 0, 0, 2, '0y']],
    ['half a complex number', ['J', 0, 0, 0, 3, '0x1']],
    ['a float that is too large', ['D', 0, 0, 0, 9, '0x1p+9999']],
    ['items of no pairs', ['P', 0, 0, 0, 1, 'N']],
    ['300 levels', [...Array(300).fill(['L', 0, 0, 0, 1]).flat(), 'N']],
    ['300 references', [...Array(300).fill('Xo'), 'N']],
  ])('refuses %s', (_, parts) => {
    const bytes = Buffer.concat(
      parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.of(part as number))),
    );
    expect(onlyRefuses([bytes])).toBe(0);
  });
});
