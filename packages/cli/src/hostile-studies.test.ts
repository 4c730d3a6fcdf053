import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { quickstart } from './quickstart.ts';
import { flex } from './testing/flex.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-hostile-studies-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { model, data } = quickstart;
const rows = (split: string) => `{source: ${data.source}, split: ${split}}`;
const base = `base: {model: ${model}, data: ${rows('1-8')}, eval: ${rows('81-82')}}\nout: out\n`;
const tens = (of: (i: number) => string, separator = ', ') =>
  Array.from({ length: 10 }, (_, i) => of(i)).join(separator);

/** Nine lists, each of ten times the one before. */
const laughs = [
  'a: &a0 [x]',
  ...Array.from({ length: 9 }, (_, i) => `a${i}: &a${i + 1} [${tens(() => `*a${i}`)}]`),
];

test.each<[string, string | Uint8Array, string | RegExp]>([
  [
    'ten thousand million arms',
    `${base}factors:\n  ${tens((i) => `f${i}: {${tens((j) => `l${j}: {lora.rank: ${j + 1}}`)}}`, '\n  ')}\n`,
    ':3: there are 10000000000 combinations',
  ],
  [
    'as many by a search',
    `${base}search:\n  over:\n    ${tens((i) => `f${i}: [${tens(String)}]`, '\n    ')}\n`,
    /:\d+: there are 10000000000 combinations/,
  ],
  [
    'a thousand million draws',
    `${base}search: {random: 1000000000, over: {lora.rank: {int_uniform: [1, 8]}}}\n`,
    'search.random must be a whole number from 1 to 1000',
  ],
  [
    'twenty thousand seeds',
    `${base}seeds: [${Array.from({ length: 20_000 }, (_, i) => i)}]\n`,
    'a list of them, 1000 at most',
  ],
  ['an alias in what it names', `base: &b {model: *b}\nout: out\n`, ': an alias stands in what it names'],
  ['a thousand million by aliases', `${laughs.join('\n')}\n`, 'Excessive alias count'],
  ['lists in lists', `${base}factors: {x: ${'['.repeat(3000)}${']'.repeat(3000)}}\n`, ':3: '],
  ['every byte', Uint8Array.from({ length: 4096 }, (_, i) => i % 256), ': must be a section of keys'],
  ['nothing', '', ': base is missing'],
  ['more than 128 KiB', `${base}notes: ['${'a'.repeat(200_000)}']\n`, 'at most 131072 are read'],
  ['escapes in a name', `${base}"\\e[31mred": 1\n`, /: .*red.* is not a key/],
  ['the root as its folder', base.replace('out: out', 'out: /'), "out: / is the file system's root"],
  ['an option as a benchmark', `${base}evaluations: [{benchmark: --help}]\n`, 'unknown name "--help"'],
  ['a benchmark that is not there', `${base}evaluations: [{benchmark: ./none.jsonl}]\n`, 'none.jsonl'],
  [
    'a claim on an arm that is not there',
    `${base}claims: [{text: a, figure: b, source: c, arm: ../x, measure: m}]\n`,
    'claims.0 is on ../x',
  ],
])('a study of %s is refused in one line, and leaves nothing', async (name, content, message) => {
  const file = join(folder, `${name.replaceAll(/\W/g, '-')}.yaml`);
  writeFileSync(file, content);
  const before = readdirSync(folder);
  const { code, stdout, stderr } = await flex('study', file, '--device', 'cpu', '--quiet');
  expect(stderr).toMatch(message);
  expect({ code, stdout, lines: stderr.trim().split('\n').length }).toEqual({
    code: 2,
    stdout: '',
    lines: 1,
  });
  expect(stderr.trim()).not.toMatch(/\p{Cc}/u);
  expect(stderr.length).toBeLessThan(2500);
  expect(readdirSync(folder)).toEqual(before);
  expect(existsSync(join(folder, 'out'))).toBe(false);
});
