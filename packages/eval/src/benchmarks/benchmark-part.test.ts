import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '@flex/base';
import { collect, jsonl, temporaryFile } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { type Completion, compare, type Problem, protocolHash, readResults } from '../index.ts';
import { writeResultFolder } from '../testing/result-folder.ts';
import { findBenchmark } from './benchmark-part.ts';

const zod = pathToFileURL(join(dirname(createRequire(import.meta.url).resolve('zod')), 'index.js'));
const context = { dataFolder: null, warn: () => undefined };

/** Opens the benchmark that a module of this text gives. */
async function open(benchmark: string) {
  const part = `{ name: 'own', schema: z.strictObject({}), make: () => (${benchmark}) }`;
  const file = temporaryFile('mine.mjs', `import { z } from '${zod}';\nexport default ${part};\n`);
  return (await findBenchmark(file)).make({}, context);
}

const own = (assertion: string, prompt = 'def f(x):') => `{
  name: 'own',
  options: { level: 3 },
  async *problems() {
    yield { id: 'a', language: 'py', prompt: '${prompt}', stop: [], canonical: null, empty: ' pass' };
  },
  program: (problem, { text }) => ({ language: 'py', source: problem.prompt + text, tests: '${assertion}' }),
}`;

test("a module's benchmark has the digest of its problems and tests among its options", async () => {
  const options = async (text: string) => (await open(text)).options;
  const first = await options(own('assert f(1) == 2'));
  expect(first).toEqual({ level: 3, content: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(await options(own('assert f(1) == 2'))).toEqual(first);
  const [harder, reworded] = [own('assert f(2) == 3'), own('assert f(1) == 2', 'def f(y):')];
  expect((await options(harder)).content).not.toBe(first.content);
  expect((await options(reworded)).content).not.toBe(first.content);

  const opened = await open(harder);
  const [problem]: Problem[] = await collect(opened.problems());
  const answer: Completion = { kind: 'completion', text: ' return x' };
  expect(opened.program(problem, answer)).toMatchObject({ source: 'def f(x): return x' });

  const parts = [first, await options(harder)].map((some) => ({ benchmark: 'own', options: some }));
  expect(protocolHash(parts[0])).not.toBe(protocolHash(parts[1]));
  const folder = dirname(temporaryFile('x', ''));
  const [a, b] = parts.map((some, i) =>
    readResults(
      writeResultFolder(join(folder, `${i}`), { marks: { P0: '+' }, benchmark: 'own', parts: some }),
    ),
  );
  expect(() => compare(a, b, { force: false })).toThrow(/protocols differ: options\.content/);
});

test("a module's benchmark is from the module and from what that read", async () => {
  const opened = await open(`{ ...${own('')}, paths: ['/data/rows.jsonl'] }`);
  expect(opened.paths).toEqual([expect.stringMatching(/mine\.mjs$/), '/data/rows.jsonl']);
  expect((await open(own(''))).paths).toEqual([expect.stringMatching(/mine\.mjs$/)]);
});

test('what is no benchmark is refused in a line', async () => {
  const message =
    /^benchmark "own" \(\S+mine\.mjs\): its make must give an object with name, options, problems\(\) and program/;
  for (const text of ['null', '{}', "{ name: 'a', options: {}, problems() {} }"]) {
    await expect(open(text)).rejects.toThrow(message);
    await expect(open(text)).rejects.toThrow(ConfigError);
  }
  const broken = own('').replace('problem.prompt', 'null.prompt');
  await expect(open(broken)).rejects.toThrow(/^benchmark "own" \(\S+mine\.mjs\): Cannot read prop/);
});

test('a built-in benchmark has the options it had', async () => {
  const row = { task_id: 'HumanEval/0', prompt: 'def f():\n', entry_point: 'f', test: 'def check(c): pass' };
  const file = temporaryFile('rows.jsonl', '');
  writeFileSync(file, jsonl(row));
  const { options } = await (await findBenchmark(file)).make({}, context);
  expect(Object.keys(options)).toEqual(['prompt', 'stop', 'data']);
});
