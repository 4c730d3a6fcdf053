import { gzipSync } from 'node:zlib';
import { ConfigError } from '@flex/base';
import { collect, jsonl, temporaryFile } from '@flex/base/testing';
import { describeShared, shared } from '@flex/fixtures';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, test } from 'vitest';
import { findOverlaps, type Overlaps, sameRows } from './find-overlaps.ts';
import type { OverlapKind } from './overlap-index.ts';
import { parseSourceSplit, readPrints } from './read-prints.ts';

/** The rows of two files that overlap: `line line kind`. */
async function audit(file: string, against: string): Promise<Overlaps> {
  const rows = await collect(readPrints(parseSourceSplit(against)));
  return findOverlaps(readPrints(parseSourceSplit(file)), [{ name: 'held out', rows }]);
}

const line = ({ where }: { readonly where: string }) => where.slice(where.lastIndexOf(':') + 1);
const pairsOf = ({ sets: [{ pairs }] }: Overlaps) =>
  pairs.map(({ row, of, kind }) => `${line(row)} ${line(of)} ${kind}`).sort();

interface Texts {
  readonly prompt: string;
  readonly completion: string;
}

/** A text of n words that no other seed gives, with letters that Unicode writes in several ways. */
const words = (seed: string, n: number) =>
  Array.from({ length: n }, (_, i) => `${'aéﬁÅⅧkñо'[i % 8]}${seed}x${i}`).join(' ');
const original = (i: number): Texts => ({
  prompt: words(`p${i}q`, 16),
  completion: `${words(`c${i}d`, 20)}\n`,
});

/** Ways of writing a text that leave it the same. */
const disguises: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => text.replaceAll(' ', '\r\n\t'),
  (text) => `\uFEFF${text.replaceAll(' ', '\u00A0 ')}\n\n`,
  (text) => text.normalize('NFD'),
  (text) => text.normalize('NFKC'),
  (text) => text.toUpperCase().replaceAll('ſ', 'S'),
  (text) => text.replaceAll(' ', '\u200B '),
];

/** Rows of prompt and completion in the formats that data come in. */
const formats: Readonly<Record<string, (texts: Texts, id: string) => object>> = {
  promptCompletion: (texts, id) => ({ task_id: id, ...texts }),
  text: ({ prompt, completion }) => ({ text: prompt + completion }),
  messages: ({ prompt, completion }) => ({
    messages: [
      { role: 'system', content: 'Answer, always, with as little as can be said of it.' },
      { role: 'user', content: prompt },
      { role: 'assistant', content: completion },
    ],
  }),
  humanEval: ({ prompt, completion }, id) => ({
    task_id: id,
    prompt,
    entry_point: 'f',
    test: 'pass',
    canonical_solution: completion,
  }),
  mbxp: ({ prompt, completion }, id) => ({
    task_id: id,
    language: 'php',
    prompt,
    canonical_solution: completion,
    entry_point: 'f',
    test: '',
  }),
  apps: ({ prompt, completion }) => ({ problem_id: 1, question: prompt, solutions: [completion, 'another'] }),
  codeSearchNet: ({ prompt, completion }) => ({ docstring: prompt, code: completion, partition: 'train' }),
  mbpp: ({ prompt, completion }, id) => ({
    task_id: id,
    text: prompt,
    code: completion,
    test_list: ['assert f() == 1'],
  }),
};

/** A file of these rows. */
const containers: readonly ((rows: readonly object[]) => string)[] = [
  (rows) => temporaryFile('rows.jsonl', jsonl(...rows)),
  (rows) => temporaryFile('rows.jsonl.gz', gzipSync(jsonl(...rows))),
];

/** What may be planted of a held-out row, in a row that is otherwise its own; as what it is to be found. */
const plants: readonly (readonly [
  plant: (held: Texts, own: Texts) => Texts,
  kinds: readonly OverlapKind[],
])[] = [
  [(held) => held, ['row', 'completion', 'prompt']],
  [(held, own) => ({ ...own, completion: held.completion }), ['completion']],
  [(held, own) => ({ ...own, prompt: held.prompt }), ['prompt']],
];

test('whatever is planted is found, in every format, disguise and container, and nothing else is', async () => {
  const some = <T>(from: readonly T[]) => fc.constantFrom(...from);
  const planted = fc.record({
    at: fc.nat({ max: 7 }),
    plant: some(plants),
    prompt: some(disguises),
    completion: some(disguises),
  });
  const runs = process.env.FLEX_LONG_TESTS ? 3000 : 60;
  await fc.assert(
    fc.asyncProperty(
      some(Object.values(formats)),
      some(Object.values(formats)),
      some(containers),
      some(containers),
      fc.uniqueArray(planted, { maxLength: 5, selector: ({ at }) => at }),
      async (trained, held, packTrained, packHeld, planting) => {
        const heldOut = Array.from({ length: 8 }, (_, i) => original(i));
        const training = Array.from({ length: 12 }, (_, i) => original(100 + i));
        // Half of a text is not told apart from the rest: only in the other rows is it found, and as near.
        const kinds = new Map<string, readonly OverlapKind[]>();
        for (const { at, prompt, completion, ...chosen } of planting) {
          const [plant, kind] = held === formats.text ? plants[0] : chosen.plant;
          const texts = plant(heldOut[at], training[at]);
          training[at] = { prompt: prompt(texts.prompt), completion: completion(texts.completion) };
          kinds.set(`${at + 1}`, trained === formats.text ? [...kind, 'near'] : kind);
        }
        const found = await audit(
          packTrained(training.map((texts, i) => trained(texts, `mine/a${i}`))),
          packHeld(heldOut.map((texts, i) => held(texts, `mine/b${i}`))),
        );
        const pairs = found.sets[0].pairs.map(({ row, of, kind }) => [line(row), line(of), kind] as const);
        expect(pairs.map(([row, of]) => [row, of]).sort()).toEqual(
          [...kinds.keys()].sort().map((at) => [at, at]),
        );
        for (const [row, , kind] of pairs) expect(kinds.get(row)).toContain(kind);
        expect(found).toMatchObject({ rows: 12, duplicates: 0 });
      },
    ),
    { numRuns: runs },
  );
});

test('a Parquet file is searched as well as a list in one JSON file', async () => {
  const rows = [original(1), original(2)];
  const columns = (['prompt', 'completion'] as const).map((name) => ({
    name,
    data: rows.map((row) => row[name]),
    type: 'STRING' as const,
  }));
  const parquet = temporaryFile('rows.parquet', new Uint8Array(parquetWriteBuffer({ columnData: columns })));
  const list = temporaryFile('rows.json', JSON.stringify([original(3), original(2)]));
  const found = await audit(parquet, list);
  expect(found.sets[0]).toMatchObject({ counts: { row: { rows: 1, of: 1 } }, same: { rows: 1, of: 1 } });
  expect(pairsOf(found)).toEqual(['2 1 row']);
});

test('every solution of a problem of APPS is looked for', async () => {
  const problem = { ...formats.apps(original(1), ''), solutions: ['pass', original(2).completion] };
  const file = (row: object) => temporaryFile('rows.jsonl', jsonl(row));
  expect(pairsOf(await audit(file(original(2)), file(problem)))).toEqual(['1 1 completion']);
  expect(pairsOf(await audit(file(problem), file(original(2))))).toEqual(['1 1 completion']);
});

describe('the same id', () => {
  const task = (task_id: unknown, i: number) => formats.mbpp(original(i), task_id as string);
  const java = (task_id: string, i: number) => ({ ...formats.mbxp(original(i), task_id), language: 'java' });
  const file = (...rows: object[]) => temporaryFile('rows.jsonl', jsonl(...rows));

  test('is the same task in every edition of a benchmark, and in another language a translation', async () => {
    const held = file(task(601, 1), task('Mbpp/602', 2), task('MBPP/603', 3));
    expect(pairsOf(await audit(file(task('mbpp/601', 4), task(602, 5)), held))).toEqual(['1 1 id', '2 2 id']);
    const translated = await audit(file(java('MBJP/601', 4), java('MBJP/700', 5)), held);
    expect(pairsOf(translated)).toEqual(['1 1 translation']);
    expect(sameRows(translated.sets[0])).toEqual([]);
    const named = (name: string) => ({ name, language: 'rb', prompt: words(name, 30), tests: 't' });
    const humanEval = file(formats.humanEval(original(1), 'HumanEval/23'));
    expect(
      pairsOf(await audit(file(named('HumanEval_23_strlen'), named('HumanEval_24_x')), humanEval)),
    ).toEqual(['1 1 translation']);
  });

  test('is also found where the completion of a translation is the same, which is more than a translation', async () => {
    const held = file({ ...java('MBJP/601', 1), language: 'typescript' });
    expect(pairsOf(await audit(file({ ...java('MBTSP/601', 1), language: 'javascript' }), held))).toEqual([
      '1 1 row',
    ]);
  });

  test('is found among versions in several languages, whichever of them was looked for before', async () => {
    const inLanguage = (language: string, i: number) => ({ ...java('MBXP/601', i), language });
    const held = file(inLanguage('java', 1), inLanguage('php', 2));
    expect(pairsOf(await audit(file(inLanguage('kotlin', 3), inLanguage('php', 4)), held))).toEqual([
      '1 1 translation',
      '1 2 translation',
      '2 1 translation',
      '2 2 id',
    ]);
  });

  test('of a number by itself means a task of one file alone, but in the format of MBPP', async () => {
    const own = (task_id: unknown, i: number) => ({ task_id, ...original(i) });
    expect(pairsOf(await audit(file(own(1, 1)), file(own(1, 2))))).toEqual([]);
    expect(pairsOf(await audit(file(own('q-1', 1)), file(own('q-1', 2))))).toEqual(['1 1 id']);
    expect(pairsOf(await audit(file(task(1, 1)), file(task(1, 2))))).toEqual(['1 1 id']);
    const both = file(own(1, 1), own(1, 2));
    expect(pairsOf(await audit(both, both))).toEqual(['1 1 row', '1 2 id', '2 1 id', '2 2 row']);
  });
});

describe('what many rows share is boilerplate:', () => {
  const instruct = 'Complete the function below so that all of its tests pass.';
  const rows = (from: number, count: number, prompt: string) =>
    Array.from({ length: count }, (_, i) => ({ ...original(from + i), prompt }));
  const file = (list: readonly object[]) => temporaryFile('rows.jsonl', jsonl(...list));

  test('a prompt of more than ten of them does not make rows the same, one of ten does', async () => {
    expect(pairsOf(await audit(file(rows(100, 3, instruct)), file(rows(0, 11, instruct))))).toEqual([]);
    expect((await audit(file(rows(100, 1, instruct)), file(rows(0, 10, instruct)))).sets[0].counts).toEqual({
      prompt: { rows: 1, of: 10 },
    });
  });

  test('a whole row is found however often it stands there, each of them once', async () => {
    const same = Array.from({ length: 30 }, () => original(1));
    const found = await audit(file([...same, original(2)]), file([...same, original(3)]));
    expect(found.sets[0].counts).toEqual({ row: { rows: 30, of: 30 } });
    expect(found.sets[0].pairs).toHaveLength(59);
    expect(found).toMatchObject({ rows: 31, duplicates: 29 });
  });

  test('a short prompt or completion does not make rows the same', async () => {
    const short = (i: number) => ({ prompt: `Say ${i}`, completion: 'Yes, that is right.' });
    expect(pairsOf(await audit(file([short(1), short(2)]), file([short(2), short(3)])))).toEqual(['2 1 row']);
  });
});

test('a row of which most words are another’s, in their order, is a near-duplicate with its share', async () => {
  const { prompt, completion } = original(1);
  const near = { prompt: words('other', 16), completion: completion.replace('x3', 'y3') };
  const far = { prompt: words('more', 16), completion: completion.replace('x3', 'y3').replace('x11', 'y11') };
  const file = (list: readonly object[]) => temporaryFile('rows.jsonl', jsonl(...list));
  const found = await audit(file([near, far]), file([{ prompt, completion }]));
  // 20 words have 13 n-grams of 8, of which the fourth word is in four.
  expect(found.sets[0].pairs).toMatchObject([{ kind: 'near', row: { id: null }, share: 9 / 13 }]);
  expect(sameRows(found.sets[0])).toEqual([]);
});

test('a split stands behind a colon, unless a file has that name', async () => {
  const path = temporaryFile('rows.jsonl:train', '');
  expect(parseSourceSplit(path)).toEqual({ source: path, split: null });
  const file = temporaryFile(
    'rows.jsonl',
    jsonl(...[11, 12, 13].map((id, i) => formats.mbpp(original(i), `${id}`))),
  );
  expect(parseSourceSplit(`${file}:12-13`)).toEqual({ source: file, split: '12-13' });
  expect(await collect(readPrints(parseSourceSplit(`${file}:12-13`)))).toMatchObject([
    { id: '12' },
    { id: '13' },
  ]);
  expect(() => parseSourceSplit(`${file}:tset`)).toThrow(ConfigError);
  expect(() => parseSourceSplit(`${file}:tset`)).toThrow('is it test?');
  await expect(collect(readPrints(parseSourceSplit('none.jsonl:test')))).rejects.toThrow(
    'none.jsonl:test: no such file',
  );
});

describeShared('data', 'overlaps of benchmarks, as they are', () => {
  const countsOf = async (file: string, against: string) =>
    (await audit(shared(`data/${file}`), shared(`data/${against}`))).sets[0].counts;

  test('MBPP 11–510 has no row of 511–600', async () => {
    expect(await countsOf('mbpp.jsonl:11-510', 'mbpp.jsonl:511-600')).toEqual({ near: { rows: 22, of: 16 } });
  });

  test('three solutions of MBPP’s train split are in validation again', async () => {
    const found = await audit(shared('data/mbpp.jsonl:train'), shared('data/mbpp.jsonl:validation'));
    expect(sameRows(found.sets[0]).map(({ row, of, kind }) => [row.id, of.id, kind])).toEqual([
      ['625', '591', 'completion'],
      ['699', '595', 'completion'],
      ['767', '527', 'completion'],
    ]);
  });

  test('HumanEval and MBPP have nothing in common', async () => {
    expect(await countsOf('mbpp.jsonl', 'HumanEval.jsonl.gz')).toEqual({});
    expect(await countsOf('HumanEval.jsonl.gz', 'mbpp.jsonl')).toEqual({});
    expect(await countsOf('apps/train', 'mbpp.jsonl')).toEqual({});
  });

  test('MBJP is MBPP in Java, and MultiPL-E is HumanEval', async () => {
    expect(await countsOf('mbpp.jsonl', 'mbjp.jsonl')).toEqual({ translation: { rows: 966, of: 966 } });
    expect(await countsOf('multipl-e/humaneval-java.jsonl', 'HumanEval.jsonl.gz')).toEqual({
      translation: { rows: 158, of: 158 },
    });
    expect(await countsOf('mbpp.jsonl:601-974', 'mbjp.jsonl:511-600')).toEqual({});
  });
});
