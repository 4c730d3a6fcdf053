import { existsSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { openJavaJudge } from './java-judge.ts';
import { type Fixture, fixture, javaSandbox, testLimits } from './testing.ts';

const machine = await javaSandbox();
const hasLibrary = existsSync('/usr/share/java/javatuples.jar');
const echo = { header: 'static Object f(Object x) throws Throwable', body: 'return x;' };

/** Values that arrive equal and of the same class. */
const same = [
  ...[
    'true',
    '(byte) -128',
    '(short) -32768',
    "'\\uD800'",
    'Integer.MIN_VALUE',
    'Long.MAX_VALUE',
    '-0f',
    '-0.0',
  ],
  ...[
    'Double.MIN_VALUE',
    'Float.NaN',
    'Double.NEGATIVE_INFINITY',
    '""',
    '"\\uDC00 alone \\uD83D\\uDE00 \\0 é"',
  ],
  ...['BigInteger.TWO.pow(4000).negate()', 'new BigDecimal("-12345678901234567890.1230e-40")'],
  ...['new ArrayList<>(Arrays.asList(1, null, "x"))', 'new LinkedList<>(List.of(1L))', 'Arrays.asList(1, 2)'],
  ...['new Vector<>(List.of(1L))', 'new Stack<Integer>()', 'List.of(1)', 'List.of(1, 2, 3)'],
  ...[
    'Collections.unmodifiableList(new ArrayList<>(List.of(1)))',
    'Collections.unmodifiableSet(new HashSet<>())',
  ],
  ...[
    'new HashSet<>(List.of(3, 1, 2))',
    'new LinkedHashSet<>(List.of(3, 1, 2))',
    'new TreeSet<>(List.of("b"))',
  ],
  ...[
    'new HashMap<>(Map.of("a", List.of(1)))',
    'new LinkedHashMap<>(Map.of(2, 1))',
    'new TreeMap<>(Map.of(2, 1))',
  ],
  ...['Collections.unmodifiableMap(new HashMap<>())', 'new AbstractMap.SimpleEntry<>(1, null)'],
  ...[
    'new AbstractMap.SimpleImmutableEntry<>(List.of(), "x")',
    'Optional.empty()',
    'Optional.of(List.of(1))',
  ],
  ...['OptionalInt.of(-1)', 'OptionalInt.empty()', 'OptionalLong.of(7)', 'OptionalLong.empty()'],
  ...['OptionalDouble.of(0.5)', 'OptionalDouble.empty()'],
];

/** Values that arrive equal, but of a plainer class. */
const plainer = [
  ['Collections.emptyList()', 'List'],
  ['new ArrayList<>(List.of(1, 2, 3)).subList(1, 3)', 'ArrayList'],
  ['new HashMap<Integer, Integer>() {{ put(1, 2); }}', 'HashMap'],
  ['new java.util.concurrent.ConcurrentHashMap<>(Map.of(1, 2))', 'LinkedHashMap'],
  ['Set.of(1, 2)', 'Set'],
  ['Map.of(1, 2)', 'Map'],
  ['Map.entry(1, "x")', 'AbstractMap.SimpleImmutableEntry'],
  ['new TreeMap<>(Map.of(1, 2)).firstEntry()', 'Map.Entry'],
  ['new TreeMap<>(Map.of(1, 2)).keySet()', 'TreeSet'],
];

const arrays = [
  ...['new boolean[] {true, false}', 'new byte[] {-1}', 'new short[] {-1}', 'new char[] {65535}'],
  ...[
    'new int[] {1 << 31, 1}',
    'new long[] {1L << 63}',
    'new float[] {-0f}',
    'new double[] {-0.0}',
    'new int[0]',
  ],
  ...[
    'new int[][] {{1}, null, {}}',
    'new String[] {"a", null}',
    'new Integer[][] {{1}}',
    'new List[] {List.of(1)}',
  ],
  ...['new Object[] {1, new int[] {2}, "x", new Object[0]}', 'new Map.Entry[] {Map.entry(1, 2)}'],
];

describe.skipIf(machine === null)('a value between the tests and the candidate', () => {
  const judge = openJavaJudge({ sandbox: machine!, lane: 0 });
  afterAll(() => judge.close());
  const judged = (program: Fixture) => judge.judge(fixture(program), testLimits);
  const expectPass = async (program: Fixture) =>
    expect(await judged(program)).toMatchObject({ detail: '', verdict: 'passed' });
  /** Tests of v, the value sent, and w, the value that came back. */
  const each = (values: readonly string[], check: (value: string, i: number) => string) =>
    values.map((value, i) => `{ Object v = ${value}; Object w = f(v); ${check(value, i)} }`).join('\n');

  test('is equal on the other side, of the same class', async () => {
    const check = (_: string, i: number) =>
      `assert v.equals(w) && w.equals(v) && v.getClass() == w.getClass() : ${i};`;
    await expectPass({ ...echo, tests: each(same, check) });
  });

  test('of a class that is nobody else to make becomes the plain one', async () => {
    const check = (_: string, i: number) => `assert v.equals(w) && w instanceof ${plainer[i][1]} : ${i};`;
    const values = plainer.map(([value]) => value);
    await expectPass({ ...echo, tests: each(values, check) });
  });

  test('that is an array keeps its class and all elements', async () => {
    const check = (_: string, i: number) =>
      `assert Objects.deepEquals(v, w) && v != w && v.getClass() == w.getClass() : ${i};`;
    await expectPass({ ...echo, tests: each(arrays, check) });
  });

  test.skipIf(!hasLibrary)('that is a tuple of one to ten is one there', async () => {
    const names = [
      'Unit',
      'Pair',
      'Triplet',
      'Quartet',
      'Quintet',
      'Sextet',
      'Septet',
      'Octet',
      'Ennead',
      'Decade',
    ];
    const values = names.map(
      (name, i) =>
        `org.javatuples.${name}.with(${Array(i + 1)
          .fill('"x"')
          .join(', ')})`,
    );
    const check = (_: string, i: number) => `assert v.equals(w) : ${i};`;
    const array = '{ var v = new org.javatuples.Pair[] {null}; assert f(v).getClass() == v.getClass(); }';
    await expectPass({ ...echo, tests: each(values, check) + array });
  });

  test('keeps the bits of a NaN, the scale of a decimal, and null', async () => {
    const tests = `long bits = 0x7ff8dead00000001L;
      assert Double.doubleToRawLongBits((Double) f(Double.longBitsToDouble(bits))) == bits;
      assert Float.floatToRawIntBits((Float) f(Float.intBitsToFloat(0x7fc00abc))) == 0x7fc00abc;
      assert ((BigDecimal) f(new BigDecimal("1.00"))).scale() == 2;
      assert f(null) == null;`;
    await expectPass({ ...echo, tests });
  });

  test('keeps the order of sorted and linked ones', async () => {
    const tests = `
      var down = Collections.reverseOrder();
      assert ((TreeSet<?>) f(new TreeSet<>(down))).comparator() == down;
      assert ((TreeMap<?, ?>) f(new TreeMap<>(Map.of(1, 2)))).comparator() == null;
      var own = new TreeSet<String>((a, b) -> b.compareTo(a)); own.addAll(List.of("a", "c", "b"));
      assert f(own) instanceof TreeSet && f(own).toString().equals("[c, b, a]");
      assert f(new LinkedHashSet<>(List.of(3, 1, 2))).toString().equals("[3, 1, 2]");`;
    await expectPass({ ...echo, tests });
  });

  test('is to the candidate what it was in the tests: fixed, immutable, a literal', async () => {
    const header = 'static String f(List<Integer> x, String s)';
    const body = `String word = s == "literal" ? "same " : "other ";
      try { x.set(0, 7); word += "set "; } catch (UnsupportedOperationException e) { }
      try { x.add(8); word += "add "; } catch (UnsupportedOperationException e) { }
      try { x.contains(null); word += "null"; } catch (NullPointerException e) { }
      return word;`;
    const tests = `
      assert f(new ArrayList<>(List.of(1)), "literal").equals("same set add null");
      assert f(Arrays.asList(1), "literal").equals("same set null");
      assert f(Collections.singletonList(1), "literal").equals("same null");
      assert f(List.of(1), "other").equals("other ");`;
    await expectPass({ header, body, tests });
  });

  test('is of the class that its type asks for: sorted, a deque, a queue', async () => {
    const each = [
      [
        'SortedMap<String, Integer>',
        'var m = new TreeMap<String, Integer>((a, b) -> b.compareTo(a)); m.putAll(Map.of("a", 1, "b", 2)); return m;',
        'f(0).firstKey().equals("b") && f(0).equals(Map.of("a", 1, "b", 2)) && f(0).get("c") == null',
      ],
      [
        'NavigableMap<Integer, Integer>',
        'return new TreeMap<>(Map.of(1, 2, 3, 4)).descendingMap();',
        'f(0).firstKey() == 3',
      ],
      [
        'Deque<Integer>',
        'return new ArrayDeque<>(List.of(1, 2));',
        'f(0).peekLast() == 2 && !f(0).equals(f(0))',
      ],
      ['Queue<Integer>', 'return new PriorityQueue<>(List.of(2, 1));', 'f(0).poll() == 1'],
      [
        'Collection<Integer>',
        'return new TreeMap<>(Map.of(1, 2, 3, 4)).values();',
        'new ArrayList<>(f(0)).equals(List.of(2, 4))',
      ],
    ];
    for (const [type, body, check] of each) {
      await expectPass({ header: `static ${type} f(int x)`, body, tests: `assert ${check};` });
    }
  });

  test('thrown is caught as the nearest class of the JDK, with its message', async () => {
    const header = 'static Object f(int x) throws Exception';
    const body = `switch (x) {
        case 0: throw new NoSuchElementException("none");
        case 1: throw new Own();
        case 2: throw new java.util.concurrent.TimeoutException("late");
        case 3: throw new AssertionError("no");
        default: throw null;
      }
      }
      static class Own extends IllegalArgumentException {
        public String getMessage() { throw new RuntimeException(); }`;
    const caught = (x: number, type: string, text: string) =>
      `try { f(${x}); throw new Error(); }
      catch (${type} e) { assert e.getClass() == ${type}.class && ${text}; }`;
    const tests = [
      caught(0, 'NoSuchElementException', 'e.getMessage().equals("none")'),
      caught(1, 'IllegalArgumentException', 'e.getMessage() == null'),
      caught(2, 'Exception', 'e.getMessage().equals("late")'),
      caught(3, 'AssertionError', 'e.getMessage().equals("no")'),
      caught(4, 'NullPointerException', 'true'),
    ];
    await expectPass({ header, body, tests: tests.join('\n') });
  });

  test('of a subclass loses what the subclass overrides', async () => {
    const header = 'static Object f(int x)';
    const body = `return x == 0 ? new Yes() : x == 1 ? new YesToo("5") : new HashMap<>(Map.of(new Yes(), 1));
      }
      static class Yes extends ArrayList<Object> {
        public boolean equals(Object o) { return true; }
        public int hashCode() { return 1; }
        public int size() { return 9; }
      }
      static class YesToo extends BigInteger {
        YesToo(String s) { super(s); } public boolean equals(Object o) { return true; }`;
    const tests = `
      assert f(0).getClass() == ArrayList.class && f(0).equals(List.of()) && !f(0).equals(List.of(1));
      assert f(1).getClass() == BigInteger.class && f(1).equals(BigInteger.valueOf(5)) && !f(1).equals(6);
      assert f(2).equals(Map.of(List.of(), 1)) && !f(2).equals(Map.of(List.of(1), 1));`;
    await expectPass({ header, body, tests });
  });

  test('widens to the primitive that the tests expect, and narrows to none', async () => {
    const program = fixture({
      header: 'static long f(int x)',
      body: 'return x;',
      tests: 'assert f(3) == 3L;',
    });
    const as = async (type: string, value: string) => {
      const source = `class Problem { static ${type} f(int x) { return ${value}; } }`;
      return (await judge.judge({ ...program, source }, testLimits)).detail;
    };
    expect(await as('int', 'x')).toBe('');
    expect(await as('char', '(char) x')).toBe('');
    expect(await as('Short', '(short) x')).toBe('');
    expect(await as('double', 'x')).toContain('ClassCastException: java.lang.Double cannot be cast to long');
    expect(await as('Object', 'null')).toContain('NullPointerException');
  });

  test.each([
    ['of a class of its own', 'return new Own();', 'a value of Problem$Own'],
    ['of a plain object', 'return new Object();', 'a value of java.lang.Object'],
    ['of code', 'return (Runnable) () -> {};', "a value of a lambda's class"],
    ['of an array of its own', 'return new Own[0];', 'an array of Problem$Own'],
    ['of itself', 'List<Object> l = new ArrayList<>(); l.add(l); return l;', 'nested more than 100 deep'],
    [
      'of twos of twos',
      'Object o = 1; for (int i = 0; i < 60; i++) o = List.of(o, o); return o;',
      'more than 262144 values',
    ],
    ['without end', 'return new Endless();', 'more than 262144 values'],
    ['of endless text', 'return "x".repeat(5_000_000);', 'more than 8388608 bytes'],
    ['of endless numbers', 'return new long[2_000_000];', 'more than 8388608 bytes'],
    ['of many digits', 'return BigInteger.ONE.shiftLeft(1_000_000);', 'an integer of more than 65536 bytes'],
  ])('%s cannot cross, which fails the program', async (_, body, what) => {
    const classes = `}
      static class Own { }
      static class Endless extends AbstractList<Integer> {
        public int size() { return 1; } public Integer get(int i) { return i; }
        public Iterator<Integer> iterator() { return new Random().ints().iterator(); }`;
    expect(await judged({ body: body + classes })).toMatchObject({
      ...{
        verdict: 'failed',
        failure: 'exception',
        detail: expect.stringMatching(`^cannot cross: .*${what.replace('$', '.')}`),
      },
    });
  });

  test('that the tests cannot send fails them the same way', async () => {
    const detail = 'cannot cross: a value of java.lang.Object';
    expect(await judged({ ...echo, tests: 'f(new Object());' })).toMatchObject({ verdict: 'failed', detail });
  });
});
