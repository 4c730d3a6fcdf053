import { describe, expect, test } from 'vitest';
import { judge } from '../judge.ts';
import { languageOf } from '../languages/index.ts';
import { run } from '../sandbox/run.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';

/** The verdict on a completion of a prompt, which is also the setup of its tests. */
async function verdictOf(prompt: string, completion: string, check: string): Promise<string> {
  const code = `def check(candidate):\n    ${check}\n\ncheck(f)\n`;
  const tests = { kind: 'python-calls', setup: prompt, code, entryPoints: ['f'], inProcess: code } as const;
  const { verdict, assurance } = await judge({ language: 'py', source: prompt + completion, tests });
  return `${verdict} ${assurance}`;
}

describe.skipIf(withoutSandbox)('a program has one verdict', () => {
  test.each([
    ['py', 'print(*{"apple", "pear", "plum", "fig", "kiwi", "lime"})'],
    ['pl', 'my %h = map { $_ => 1 } "a" .. "p"; print keys %h'],
  ] as const)('whatever order %s gives its sets', async (language, program) => {
    const { command, path } = languageOf(language).plain!;
    const files = { [path]: program };
    const ends = await Promise.all([0, 1, 2, 3].map((lane) => run({ command, files, lane })));
    expect(ends[0].stdout).not.toBe('');
    expect(new Set(ends.map(({ stdout }) => stdout)).size).toBe(1);
  });
  test.each([
    ['def f(x):\n', '    return x + 1\n'],
    ['def f(x):\n    # one more\n', '    return x + 1\n'],
    ['def f(x):\n    for i in x:\n', '        pass\n    return 2\n'],
  ])('where a prompt ends before a body: %j', async (prompt, completion) => {
    const check = prompt.includes('for') ? 'assert candidate([]) == 2' : 'assert candidate(1) == 2';
    expect(await verdictOf(prompt, completion, check)).toBe('passed isolated');
    const forged = '    class A(int):\n        __eq__ = lambda *_: True\n    return A(0)\n';
    if (!prompt.includes('for')) expect(await verdictOf(prompt, forged, check)).toBe('failed isolated');
  });
  test.each([
    ['from fractions import Fraction', 'Fraction(1, 2)', '0.5'],
    ['from decimal import Decimal', 'Decimal("0.5")', '0.5'],
  ])('by the number, not by its type: %s', async (imports, value, expected) => {
    const body = `    ${imports}\n    return ${value}\n`;
    expect(await verdictOf('def f(x):\n    """d"""\n', body, `assert candidate(1) == ${expected}`)).toBe(
      'passed isolated',
    );
    const lie = body.replace(/return (\w+)/, 'class L($1):\n        __eq__ = lambda *_: True\n    return L');
    expect(await verdictOf('def f(x):\n    """d"""\n', lie, 'assert candidate(1) == 7')).toBe(
      'failed isolated',
    );
  });
});
