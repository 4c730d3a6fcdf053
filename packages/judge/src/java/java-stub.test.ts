import { readFileSync } from 'node:fs';
import { DataError } from '@flex/base';
import { describeShared, shared } from '@flex/fixtures';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { closeJavaUnit, javaSignature, javaTester } from './java-stub.ts';

function rowsOf(file: string): { prompt: string; entry_point?: string; canonical_solution?: string }[] {
  const lines = readFileSync(shared(`data/${file}`), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => JSON.parse(line));
}

const inClass = (header: string) => `import java.util.*;\nclass A {\n    ${header} {\n`;
const parametersOf = (list: string) => javaSignature(inClass(`public static int f(${list})`)).parameters;

describe('closeJavaUnit', () => {
  test('closes just the braces that stand in code', () => {
    const noise = fc.constantFrom(
      ...[
        '"}{"',
        '"\\"{"',
        "'{'",
        "'\\''",
        '// {\n',
        '/* } " */',
        '"""\n } " \\""" {\n"""',
        ' x = 1; ',
        '"\\\\"',
      ],
    );
    const piece = fc.oneof(fc.constant('{'), fc.constant('}'), noise);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        let depth = 0;
        const text = pieces
          .filter((token) => {
            if (token === '}' && depth === 0) return false;
            depth += token === '{' ? 1 : token === '}' ? -1 : 0;
            return true;
          })
          .join(' ');
        expect(closeJavaUnit(text)).toBe(depth === 0 ? text : `${text}\n${'}'.repeat(depth)}\n`);
        expect(closeJavaUnit(closeJavaUnit(text))).toBe(closeJavaUnit(text));
      }),
    );
  });

  test('keeps any text, however broken, as the beginning', () => {
    const unit = fc.constantFrom('{', '}', '"', "'", '\\', '/', '*', '\n', 'a', '😀');
    const broken = fc.string({ unit });
    fc.assert(
      fc.property(broken, (text) => {
        expect(closeJavaUnit(text).startsWith(text)).toBe(true);
      }),
    );
  });

  test('a brace too many is left for the compiler', () => {
    expect(closeJavaUnit('class A { } }')).toBe('class A { } }');
    expect(closeJavaUnit('} class A {')).toBe('} class A {\n}\n');
  });

  test('a line comment at the end does not swallow the braces', () => {
    expect(closeJavaUnit('class A { // {')).toBe('class A { // {\n}\n');
  });

  test('a string that its line breaks off ends with the line', () => {
    expect(closeJavaUnit('class A { String s = "{;\n int f() {')).toMatch(/\n}}\n$/);
  });
});

describe('javaSignature', () => {
  test('finds the method that the prompt ends in, past helpers, comments and nested classes', () => {
    const prompt = `// class X { static int no(int a) {
class A {
    static class Pair { int a; Pair(int b) { a = b; } }
    /** {@code static int no(String z) { } */
    static String helper(String s) { return "static int no(int q) {" + s; }
    @SuppressWarnings({"unchecked", "x("})
    public static Map<String, int[]> entry_1(final List<Map<String, Integer>> first, int... rest)
        throws java.io.IOException, Exception {
`;
    expect(javaSignature(prompt)).toEqual({ name: 'entry_1', parameters: ['first', 'rest'], isVoid: false });
  });

  test('names parameters whatever their types', () => {
    expect(parametersOf('')).toEqual([]);
    expect(parametersOf('int a')).toEqual(['a']);
    expect(parametersOf('Map<String, Map<Long, List<?>>> a, int[][] b, String c[], Object... d')).toEqual([
      ...['a', 'b', 'c', 'd'],
    ]);
    expect(parametersOf('@Size(min = 1, max = 2) final java.util.List<int[]> größe, long $x')).toEqual([
      ...['größe', '$x'],
    ]);
  });

  test('knows a method without a result, also behind type parameters', () => {
    expect(javaSignature(inClass('static <T extends Comparable<T>> void g(T[] x)'))).toEqual({
      name: 'g',
      parameters: ['x'],
      isVoid: true,
    });
    expect(javaSignature(inClass('static <T> T g(T x)')).isVoid).toBe(false);
  });

  test.each([
    ['nothing', '', 'must end in the body of a method'],
    ['a closed class', 'class A { static int f() { return 1; } }', 'must end in the body of a method'],
    ['the body of a class', 'class A {', 'must end in the body of a method'],
    ['a static initializer', 'class A { static {', 'must end in the body of a method'],
    ['a method of instances', inClass('public int f(int x)'), 'the method f, which must be static'],
    ['a call, not a header', 'class A { static int f(int x) { (x) {', 'must end in the body of a method'],
  ])('a prompt that ends in %s is an error that says so', (_, prompt, complaint) => {
    expect(() => javaSignature(prompt)).toThrow(DataError);
    expect(() => javaSignature(prompt)).toThrow(complaint);
  });
});

describe('javaTester', () => {
  test('keeps prompt and tests and puts a call between them', () => {
    const prompt = inClass('public static long f(long[] a, int b)');
    expect(javaTester({ prompt, tests: '    }\n}\n' })).toBe(
      `${prompt}\nreturn flexjudge.Remote.call(new Object[] {a, b});\n    }\n}\n`,
    );
  });

  test('a method without a result returns none', () => {
    const tester = javaTester({ prompt: inClass('static void f()'), tests: '}}' });
    expect(tester).toContain('\nflexjudge.Remote.call(new Object[] {});\n}}');
    expect(tester).not.toContain('return');
  });
});

describeShared('data', 'the prompts of 158 MultiPL-E and 966 MBXP problems', () => {
  test('of MBXP: the method found is the entry point, with as many names as parameters', () => {
    const rows = rowsOf('mbjp.jsonl');
    expect(rows).toHaveLength(966);
    for (const { prompt, entry_point } of rows) {
      const { name, parameters, isVoid } = javaSignature(prompt);
      expect([name, isVoid]).toEqual([entry_point, false]);
      let list = prompt.trimEnd().split('\n').at(-1)!;
      while (list.includes('<')) list = list.replace(/<[^<>]*>/g, '');
      expect(list).toContain(`${name}(`);
      expect(parameters).toHaveLength(list.endsWith('() {') ? 0 : list.split(',').length);
      expect(list.endsWith(parameters.length === 0 ? '() {' : ` ${parameters.at(-1)}) {`)).toBe(true);
    }
  });

  test('of MBXP: the publisher closes its solutions, and so they stay as they are', () => {
    const solved = rowsOf('mbjp.jsonl').filter((row) => row.canonical_solution);
    expect(solved).toHaveLength(874);
    const changed = solved.filter(({ prompt, canonical_solution }) => {
      const whole = prompt + canonical_solution;
      return closeJavaUnit(whole) !== whole;
    });
    expect(changed).toEqual([]);
  });

  test('of MultiPL-E: each ends in a method of the class Problem, two braces from its end', () => {
    const rows = rowsOf('multipl-e/humaneval-java.jsonl');
    expect(rows).toHaveLength(158);
    for (const { prompt } of rows) {
      const { name, isVoid } = javaSignature(prompt);
      expect(prompt.trimEnd().split('\n').at(-1)).toContain(` ${name}(`);
      expect(isVoid).toBe(false);
      expect(closeJavaUnit(prompt)).toBe(`${prompt}\n}}\n`);
    }
  });
});
