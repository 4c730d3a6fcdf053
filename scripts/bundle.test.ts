import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { constants, runInThisContext } from 'node:vm';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';

const workspace = join(import.meta.dirname, '..');
// Plain JavaScript, which has no types.
const { bundle } = (await import(join(import.meta.dirname, 'bundle.mjs'))) as {
  bundle: (root: string) => Promise<Record<string, string>>;
};

let root: string;
const write = (path: string, text: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const manifest = (name: string, exports: object) => JSON.stringify({ name, type: 'module', exports });
const folders = () => readdirSync(join(root, 'node_modules/.cache/flex'));
// By Node itself: Vite would transform it.
const nativeImport = runInThisContext('(url) => import(url)', {
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});
const imported = async (entries: Record<string, string>, name: string) => await nativeImport(entries[name]);

/** A workspace of two packages at an odd path; packages from elsewhere are this one's. */
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'flex bundle#')));
  write('node_modules/.pnpm/lock.yaml', 'lockfileVersion: 9\n');
  write(
    'packages/base/package.json',
    manifest('@flex/base', { '.': './src/index.ts', './more': './src/more.ts' }),
  );
  write(
    'packages/base/src/value.ts',
    'export const value: number = 1;\nexport const here = import.meta.dirname;\n',
  );
  write('packages/base/src/index.ts', "export * from './value.ts';\n");
  write('packages/base/src/more.ts', "export * from './value.ts';\n");
  write('packages/base/src/value.test.ts', 'throw 1;\n');
  write('packages/cli/package.json', manifest('@flex/cli', { '.': './src/index.ts' }));
  write(
    'packages/cli/src/index.ts',
    "import { value } from '@flex/base';\nimport * as z from 'zod';\nexport const twice = 2 * z.number().parse(value);\n",
  );
  for (const name of ['base', 'cli']) {
    mkdirSync(join(root, 'packages', name, 'node_modules'));
    symlinkSync(
      join(workspace, 'packages/cli/node_modules/zod'),
      join(root, 'packages', name, 'node_modules/zod'),
    );
  }
  mkdirSync(join(root, 'packages/cli/node_modules/@flex'));
  symlinkSync(join(root, 'packages/base'), join(root, 'packages/cli/node_modules/@flex/base'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test('what is imported is the sources, each once, which know where they lie', async () => {
  const entries = await bundle(root);
  expect(Object.keys(entries).sort()).toEqual(['@flex/base', '@flex/base/more', '@flex/cli', 'zod']);
  const base = await imported(entries, '@flex/base');
  expect(base).toMatchObject({ value: 1, here: join(root, 'packages/base/src') });
  expect(await imported(entries, '@flex/cli')).toMatchObject({ twice: 2 });
  write('packages/base/src/value.ts', 'export const value = { of: import.meta.url };\n');
  write('packages/cli/src/index.ts', "export * from '@flex/base';\n");
  const changed = await bundle(root);
  const { value } = await imported(changed, '@flex/base');
  expect(value.of).toMatch(/packages\/base\/src\/value\.ts$/);
  for (const name of ['@flex/base/more', '@flex/cli'])
    expect((await imported(changed, name)).value).toBe(value);
});

test('it is made anew for any other text of a source, a package.json or the lockfile, and for nothing else', async () => {
  const first = await bundle(root);
  const kept = async () => expect(await bundle(root)).toEqual(first);
  await kept();
  write('packages/base/src/value.test.ts', 'throw 2;\n');
  await kept();
  const source = join(root, 'packages/base/src/value.ts');
  utimesSync(source, 1, 1);
  await kept();
  expect(folders()).toHaveLength(1);
  for (const [i, change] of [
    () =>
      write(
        'packages/base/src/value.ts',
        'export const value: number = 3;\nexport const here = import.meta.dirname;\n',
      ),
    () => write('packages/base/src/new.ts', ''),
    () => write('packages/base/package.json', manifest('@flex/base', { '.': './src/index.ts' })),
    () => write('node_modules/.pnpm/lock.yaml', 'lockfileVersion: 9.1\n'),
  ].entries()) {
    change();
    // The same length and time as before: only the text tells.
    utimesSync(source, 1, 1);
    expect((await imported(await bundle(root), '@flex/cli')).twice).toBe(6);
    expect(folders()).toHaveLength(2 + i);
  }
});

test('two that make it at once are of one mind, and other users can read it', async () => {
  const [one, other] = await Promise.all([bundle(root), bundle(root)]);
  expect(one).toEqual(other);
  const [name, ...more] = folders();
  expect(more).toEqual([]);
  expect((await imported(one, '@flex/cli')).twice).toBe(2);
  const { mode } = statSync(join(root, 'node_modules/.cache/flex', name));
  expect(mode & 0o777).toBe(0o777 & ~process.umask());
});

test('what no process has run for days goes when another is made, and what one runs stays', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  await bundle(root);
  const [name] = folders();
  const old = () => utimesSync(join(root, 'node_modules/.cache/flex', name), 1, 1);
  old();
  vi.advanceTimersByTime(3600_000);
  write('packages/base/src/new.ts', '');
  await bundle(root);
  expect(folders()).toHaveLength(2);
  old();
  write('packages/base/src/new.ts', '\n');
  await bundle(root);
  expect(folders()).toHaveLength(2);
  expect(folders()).not.toContain(name);
});

test('folders that are no packages, files of an editor and options of TypeScript have no say', async () => {
  const first = await bundle(root);
  mkdirSync(join(root, 'packages/gone/node_modules'), { recursive: true });
  symlinkSync('nobody@nowhere', join(root, 'packages/base/src/.#value.ts'));
  expect(await bundle(root)).toEqual(first);
  write('tsconfig.json', '{"compilerOptions": {"target": "nonsense"');
  write('packages/base/src/new.ts', '');
  expect((await imported(await bundle(root), '@flex/cli')).twice).toBe(2);
});

test('a source that is no TypeScript, and one that asks for more of where it lies, leave nothing', async () => {
  for (const text of ['export const value = ;', 'export const value = import.meta.resolve("x");']) {
    write('packages/base/src/value.ts', text);
    await expect(bundle(root)).rejects.toThrow('value.ts');
    expect(folders()).toEqual([]);
  }
});
