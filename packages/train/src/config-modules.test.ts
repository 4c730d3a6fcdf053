import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ConfigError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig } from './config.ts';
import { partModule } from './testing/part-module.ts';

const drift = join(import.meta.dirname, 'testing/parts/drift.ts');
const values = { model: 'm', data: { source: 'd.jsonl' }, out: 'o' };
const load = (overrides: readonly string[]) =>
  loadConfig({ overrides: ['model=m', 'data.source=d.jsonl', 'out=o', ...overrides] });

/** The message of the ConfigError, its file without the folder; it must be one line. */
async function complaint(run: () => Promise<unknown>): Promise<string> {
  const error = await run().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message.replace(/^\S*\//, '');
}

test('finds the module of a part from its own folder', async () => {
  const module = partModule("{ name: 'a', schema: z.object({ order: z.int().default(2) }), make() {} }");
  const file = join(dirname(module), 'run.yaml');
  writeFileSync(file, stringify({ ...values, regularizer: { use: './mine.mjs' } }));
  expect((await loadConfig({ file })).regularizer).toMatchObject([{ use: module, order: 2 }]);
  expect((await load([`regularizer.use=${drift}`])).regularizer).toMatchObject([{ use: drift }]);
  const absent = await complaint(() => load(['regularizer.use=./mine.mjs']));
  expect(absent).toContain(`regularizer.use ${resolve('mine.mjs')} cannot be loaded: there is no such file`);
  const bare = stringify({ ...values, regularizer: { use: 'mine.mjs' } });
  writeFileSync(file, bare);
  expect(await complaint(() => loadConfig({ file }))).toMatch(
    /^run\.yaml:\d+: regularizer\.use mine\.mjs is a file here: write \.\/mine\.mjs$/,
  );
});

test('finds a package from its own folder', async () => {
  const folder = temporaryFolder();
  const installed = join(folder, 'node_modules/a-part');
  mkdirSync(installed, { recursive: true });
  copyFileSync(partModule("{ name: 'a', schema: z.object({}), make() {} }"), join(installed, 'a.mjs'));
  writeFileSync(join(installed, 'package.json'), '{"exports": {"import": "./a.mjs"}}');
  const file = join(folder, 'run.yaml');
  writeFileSync(file, stringify({ ...values, regularizer: { use: 'a-part' } }));
  expect((await loadConfig({ file })).regularizer).toMatchObject([{ use: join(installed, 'a.mjs') }]);
  expect(await complaint(() => load(['regularizer.use=a-part']))).toContain("Cannot find module 'a-part'");
});
