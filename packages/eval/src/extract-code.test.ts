import type { LanguageId } from '@flex/judge';
import { isLong } from '@flex/judge/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Completion, Problem } from './benchmark.ts';
import { humanEvalStop } from './benchmarks/human-eval.ts';
import { docstringStop } from './benchmarks/mbpp.ts';
import { extractCode, fencedBlocks, fencedHint } from './extract-code.ts';
import { missingRow, sampleRow } from './results.ts';
import { truncateCompletion } from './truncate.ts';

const head = 'import math\nfrom typing import List\n\n\ndef half(x):\n    return x / 2\n\n\n';
const problem: Problem = {
  id: 'HumanEval/900',
  language: 'py',
  prompt: `${head}def mean(xs: List[float]) -> float:\n    """ The mean, as half would. """\n`,
  stop: humanEvalStop,
  canonical: null,
  empty: '    return None\n',
};
const mbpp: Problem = {
  ...problem,
  prompt: '"""\nWrite a function to add.\nassert set(add(1, 2)) == {3}\n"""\n',
  stop: docstringStop,
};
const answer = (text: string): Completion => ({ kind: 'completion', text });
const whole = (text: string): Completion => ({ kind: 'program', text });
const extracted = (text: string, of = problem) => extractCode(answer(text), of);

const body = '    return sum(xs) / len(xs)';
const code = `def mean(xs):\n${body}`;

describe('the code of an answer', () => {
  test.each([
    ['in a fence', `Here it is:\n\`\`\`python\n${code}\n\`\`\`\nIt adds them up.`],
    ['without a language', `\`\`\`\n${code}\n\`\`\``],
    ['between tildes', `~~~ python\n${code}\n~~~`],
    ['without an end', `Sure!\n\`\`\`python\n${code}`],
    ['with Windows line ends', `Sure!\n\`\`\`python\n${code}\n\`\`\`\n`.replaceAll('\n', '\r\n')],
    ['with more backticks', `\`\`\`\`\`Python\n${code}\n\`\`\`\`\`\``],
    ['in a list', `1. First\n\n   \`\`\`python\n${code.replace(/^/gm, '   ')}\n   \`\`\`\n2. Done`],
    ['right after a marker', `- \`\`\`python\n${code.replace(/^/gm, '  ')}\n  \`\`\``],
    ['in a block of Markdown', `\`\`\`\`markdown\n# Answer\n\`\`\`python\n${code}\n\`\`\`\n\`\`\`\``],
    ['after another block', `\`\`\`bash\npip install numpy\n\`\`\`\n\`\`\`python\n${code}\n\`\`\``],
    ['before its use', `\`\`\`python\n${code}\n\`\`\`\n\`\`\`python\nprint(mean([1]))\n\`\`\``],
    ['after a call of it', `\`\`\`python\nassert mean([1]) == 1\n\`\`\`\n\`\`\`py\n${code}\n\`\`\``],
    ['with attributes', `\`\`\`{.python .numberLines}\n${code}\n\`\`\``],
  ])('%s is a whole program, after what the prompt has before its function', (_, text) => {
    expect(extracted(text)).toEqual(whole(`${head}${code}\n`));
  });

  test('has what the prompt has above it once, and the future first', () => {
    const own = `from __future__ import annotations\nimport math\nimport re\n\n${code}`;
    const text = extracted(`\`\`\`python\n${own}\n\`\`\``).text;
    expect(text).toBe(`from __future__ import annotations\n${head}import re\n\n${code}\n`);
  });

  test('that is a bare body continues the prompt', () => {
    expect(extracted(`The body:\n\`\`\`python\n${body}\n\`\`\``)).toEqual(answer(`${body}\n`));
    const stripped = { ...problem, prompt: problem.prompt.trim() };
    expect(extracted(`\`\`\`\n${body}\n\`\`\``, stripped)).toEqual(answer(`\n${body}\n`));
  });

  test('that calls the function, or has one of another name or inside another, does not define it', () => {
    for (const other of ['mean(xs)', 'def meander(xs):\n    pass', 'class A:\n    def mean(self): pass']) {
      expect(extracted(`\`\`\`\n${other}\n\`\`\``)).toEqual(answer(`${other}\n`));
    }
  });

  test('after a prompt without a definition is the block that defines what the prompt calls', () => {
    const text =
      '```python\nadd(1, 2)\n```\nand\n```python\nimport math\ndef add(a, b):\n    return a + b\n```';
    expect(extracted(text, mbpp)).toEqual(answer('import math\ndef add(a, b):\n    return a + b\n'));
  });

  test('after examples, which are closed, is not one that defines their functions', () => {
    const shots = {
      ...mbpp,
      prompt:
        'Use: assert add(1, 2) == 3\n[BEGIN]\ndef sub(a, b):\n    return a - b\n[DONE]\nUse: assert add(3, 4) == 7\n[BEGIN]\n',
    };
    const text = '```python\nadd(1, 2)\n```\n```python\ndef add(a, b):\n    return a + b\n```';
    expect(extracted(text, shots)).toEqual(answer('def add(a, b):\n    return a + b\n'));
  });

  test('of no defining block is the first in the language, else the first', () => {
    expect(extracted('```bash\nls\n```\n```python\n    pass\n```')).toEqual(answer('    pass\n'));
    expect(extracted('```bash\nls\n```\n```text\nx\n```')).toEqual(answer('ls\n'));
  });

  test('keeps fences within it: indented by four or more, or of fewer backticks', () => {
    const inside = `def mean(xs):\n    """\n    \`\`\`\n    mean([1])\n    \`\`\`\n    """\n${body}`;
    expect(extracted(`\`\`\`python\n${inside}\n\`\`\``)).toEqual(whole(`${head}${inside}\n`));
    const flush = `TEXT = """\n\`\`\`\nx\n\`\`\`\n"""\n${code}`;
    expect(extracted(`\`\`\`\`python\n${flush}\n\`\`\`\``)).toEqual(whole(`${head}${flush}\n`));
    expect(extracted(`~~~\n${flush}\n~~~`)).toEqual(whole(`${head}${flush}\n`));
  });

  test('after a prompt in a block that is open is what stands before the fence that closes it', () => {
    for (const after of ['', '\nIt adds them up.', '\n\nUse:\n```python\nprint(mean([1]))\n```\n']) {
      expect(extracted(`${body}\n\`\`\`${after}`)).toEqual(answer(`${body}\n`));
      expect(extracted(`\n${body}\r\n\`\`\`\r\n${after}`)).toEqual(answer(`\n${body}\r\n`));
    }
    // A list's block, and prose that begins with a blank.
    expect(extracted(` Sure:\n\`\`\`\n${code}\n\`\`\``)).toEqual(whole(`${head}${code}\n`));
    expect(extracted(`  1. So:\n\`\`\`python\n${code}\n\`\`\``)).toEqual(whole(`${head}${code}\n`));
  });

  test('is the answer itself where it has no fence, or is a whole program', () => {
    for (const text of ['', body, 'Use `mean`.', 'x = "```"', '`` `code` ``', '``\n``', 'a ```b``` c']) {
      expect(extracted(text)).toEqual(answer(text));
    }
    const program = whole('```python\nx\n```');
    expect(extractCode(program, problem)).toBe(program);
  });
});

/** [language, prompt, stop texts, code of an answer, the program] */
const programs: readonly [LanguageId, string, string[], string, string][] = [
  [
    'go',
    'package f_test\n\nimport (\n    "testing"\n    "fmt"\n)\n\n// f.\nfunc f(x int) int {\n',
    [],
    'package main\n\nimport (\n\t"fmt"\n\t"sort"\n)\nimport "fmt"\n\nfunc f(y int) int {\n\treturn y\n}',
    'package f_test\n\nimport (\n    "testing"\n    "fmt"\n)\n\n// f.\n\nimport (\n\t"sort"\n)\n\nfunc f(y int) int {\n\treturn y\n}\n',
  ],
  [
    'rs',
    'use std::collections::HashMap;\n\n/// f.\nfn f(x: i64) -> i64 {\n',
    ['\n}'],
    'use std::collections::HashMap;\nuse std::cmp::max;\n\npub fn f(y: i64) -> i64 {\n    y\n}\n\nfn main() {\n}',
    'use std::collections::HashMap;\n\n/// f.\nuse std::cmp::max;\n\npub fn f(y: i64) -> i64 {\n    y\n',
  ],
  [
    'rkt',
    '#lang racket\n\n;; f.\n(define (f x)\n',
    [],
    '#lang racket\n(define (g x) x)\n(define (f y) (g y))',
    '#lang racket\n\n;; f.\n(define (g x) x)\n(define (f y) (g y))\n',
  ],
  [
    'php',
    '<?php\n// f.\nfunction f($x) {\n',
    [],
    '<?php\nfunction f($y) {\n    return $y;\n}\n?>',
    '<?php\n// f.\nfunction f($y) {\n    return $y;\n}\n',
  ],
  [
    'java',
    'import java.util.*;\nclass Problem {\n    // f.\n    public static long f(long x) {\n',
    [],
    'import java.util.*;\nimport java.math.*;\n\npublic class Problem {\n    static long f(long y) {\n        return y;\n    }\n}',
    'import java.util.*;\nimport java.math.*;\n\npublic class Problem {\n    static long f(long y) {\n        return y;\n    }\n}\n',
  ],
  [
    'java',
    'import java.util.*;\nclass Problem {\n    // f.\n    public static long f(long x) {\n',
    [],
    'static long g(long x) { return x; }\npublic static long f(long y) {\n    return g(y);\n}',
    'import java.util.*;\nclass Problem {\n    // f.\nstatic long g(long x) { return x; }\npublic static long f(long y) {\n    return g(y);\n}\n}\n',
  ],
  [
    'cpp',
    '#include<bits/stdc++.h>\n// f.\nlong f(long x) {\n',
    ['\n}'],
    '#include<bits/stdc++.h>\nusing namespace std;\nlong f(long);\nlong f(long y) {\n    return f(y);\n}\nint main() {\n    cout << f(1);\n}',
    '#include<bits/stdc++.h>\n// f.\nusing namespace std;\nlong f(long);\nlong f(long y) {\n    return f(y);\n',
  ],
];

test.each(programs)(
  'a whole program in %s has one head, and the end that its tests go on from',
  (language, asked, ending, given, expected) => {
    const of: Problem = { ...problem, language, prompt: asked, stop: ending };
    expect(extracted(`\`\`\`\n${given}\n\`\`\``, of)).toEqual(whole(expected));
  },
);

test.each([
  ['cpp', 'long f(long x) {\n', ['long f(long);', 'return f(1);', 'long y = f(1);', 'std::cout << f(1);']],
  ['java', 'class Problem {\n    static long f(long x) {\n', ['return f(1);', 'System.out.println(f(1));']],
  ['js', 'function f(x){\n', ['f(1);', 'const y = f(1);', 'if (f == 1) g();', 'function ff(x) {}']],
  ['lua', 'local function f(x)\n', ['print(f(1))', 'f = 1', 'f == function']],
  ['sh', 'f() {\n', ['f 1', 'x=$(f 1)', 'ff() {']],
] as const)('what only uses or declares a function in %s does not define it', (language, asked, uses) => {
  const of: Problem = { ...problem, language, prompt: asked, stop: [] };
  for (const use of uses) expect(extracted(`\`\`\`\n${use}\n\`\`\``, of)).toEqual(answer(`${use}\n`));
});

/** Lines without fences that may stand around a block, and code with or without them inside. */
const prose = fc
  .array(
    fc.constantFrom(
      'Sure.',
      '',
      '- a list',
      '1. x',
      '`mean` `` x ``',
      '> quoted',
      '    def mean(a, b):',
      '\t',
    ),
  )
  .map((lines) => lines.join('\n'));
const defining = fc
  .array(
    fc.constantFrom('    x = 1', '', '    """', '    ```', '    ~~~~', '\t```python', '# ```', 'y = "```"'),
  )
  .map((lines) => ['def mean(xs):', ...lines, body].join('\n'));

describe('for any answer', () => {
  test('a function in a fence is found among any prose, blocks and line ends', () => {
    const others = fc.array(fc.constantFrom('```bash\nls\n```', '~~~\nmean([1])\n~~~', '```\n\n```'), {
      maxLength: 2,
    });
    const fences = fc.constantFrom('```', '````', '~~~', '~~~~~');
    const ends = fc.constantFrom('\n', '\r\n');
    fc.assert(
      fc.property(
        prose,
        others,
        fences,
        defining,
        prose,
        ends,
        fc.boolean(),
        (a, blocks, fence, inner, b, end, isOpen) => {
          const block = isOpen ? [`${fence}python`, inner] : [`${fence}python`, inner, fence, b];
          const text = [a, ...blocks, ...block].join('\n').replaceAll('\n', end);
          expect(extracted(text)).toEqual(whole(`${head}${inner}\n`));
        },
      ),
    );
  });

  test('what was extracted is left alone when extracted again, and nothing throws', () => {
    const parts = [
      '```',
      '~~~',
      '````',
      '\n',
      ' ',
      '    ',
      'python',
      'markdown',
      code,
      body,
      '- ',
      '\r\n',
      '`',
      'x',
    ];
    const text = fc.array(fc.constantFrom(...parts), { maxLength: 30 }).map((some) => some.join(''));
    fc.assert(
      fc.property(text, fc.constantFrom(problem, mbpp), (given, of) => {
        const once = extracted(given, of);
        const fencesLeft = once.kind === 'completion' && fencedBlocks(once.text).length > 0;
        // A body or a text that holds fences of its own is told from an answer by nothing.
        if (!fencesLeft) expect(extractCode(once, of)).toEqual(once);
        expect(truncateCompletion(answer(given), of, 'fenced')).toEqual(once);
      }),
      { numRuns: 500 },
    );
  });

  const bytes = isLong ? 1e7 : 1e6;
  test.each([
    ['backticks', '`', ''],
    ['backticks and a letter', '`', 'x`'],
    ['blanks before a fence', ' ', 'x```'],
    ['blanks after a fence', '```\n``` ', '`'],
    ['fences', '```\n', ''],
    ['markers', '- ', ''],
    ['one line of code', 'long mean ', '\n```'],
    ['blocks of Markdown', '````md\n```\n', ''],
  ])('megabytes of %s take a second for each at most', (_, part, end) => {
    const text = `\`\`\`\n\`\`\`\n${part.repeat(bytes / part.length)}${end}`;
    for (const of of [problem, { ...problem, language: 'cpp', prompt: 'long mean(long x) {\n' } as const]) {
      const started = performance.now();
      extracted(text, of);
      expect(performance.now() - started).toBeLessThan(bytes / 1e3);
    }
  });
});

describe('the hint', () => {
  const row = (verdict: 'passed' | 'compile_error', completion: string) =>
    sampleRow({ completion }, problem, {
      ...{ verdict, failure: verdict === 'passed' ? null : 'compile', detail: '' },
      ...{ assurance: 'isolated', seconds: 0 },
    });
  const fenced = row('compile_error', `\`\`\`python\n${code}`);

  test('is there where more than half of the answers are fenced and do not compile', () => {
    const rows = [fenced, fenced, row('passed', body), missingRow(problem), missingRow(problem)];
    expect(fencedHint(rows, 'none')).toBe(
      '2 of 3 answers contain fenced code blocks and do not compile as they are: ' +
        '--truncate fenced judges the code in them',
    );
  });

  test.each([
    ['fenced', [fenced, fenced]],
    ['none', [fenced, row('passed', body)]],
    ['none', [row('compile_error', 'No fence'), row('passed', `\`\`\`python\n${code}`)]],
    ['none', []],
  ])('is not there with the preset %s for %#', (truncation, rows) => {
    expect(fencedHint(rows, truncation)).toBeNull();
  });
});
