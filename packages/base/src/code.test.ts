import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { codeOf } from './code.ts';
import { commandLine } from './command-line.ts';
import { temporaryFolder } from './testing/temporary-folder.ts';

afterEach(() => vi.unstubAllEnvs());

const train = join(import.meta.dirname, '../../train');

test('the versions are those of Node, of flex, and of what the package computes with', () => {
  const { versions } = codeOf(train);
  expect(versions.node).toBe(process.versions.node);
  for (const name of ['flex', 'webgpu', 'gpu.js', 'pure-rand'])
    expect(versions[name]).toMatch(/^\d+\.\d+\.\d+/);
  expect(Object.keys(versions).filter((name) => name.startsWith('@flex/'))).toEqual([]);
  expect(codeOf(join(train, '../base')).versions).not.toHaveProperty('webgpu');
});

/** A package in a checkout of its own, with one commit. */
function checkout() {
  const root = temporaryFolder();
  const folder = join(root, 'packages', 'one');
  mkdirSync(join(folder, 'src'), { recursive: true });
  const write = (name: string, text: string) => writeFileSync(join(root, name), text);
  write('packages/one/package.json', '{"name": "one", "version": "1.2.3"}');
  write('packages/one/src/index.ts', 'export const one = 1;\n');
  write('packages/one/src/index.test.ts', '');
  write('.gitignore', 'runs/\n');
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  git('init', '--quiet');
  git('config', 'user.name', 'someone');
  git('config', 'user.email', 'someone@example.com');
  const commit = () => {
    git('add', '.');
    git('commit', '--quiet', '--message', 'one', '--no-gpg-sign');
    return git('rev-parse', 'HEAD');
  };
  return { root, folder, write, commit };
}

test('the commit is modified by what is changed or new in packages, and by nothing else', () => {
  const { folder, write, commit } = checkout();
  const hash = commit();
  const clean = { hash, modified: false };
  expect(codeOf(folder)).toMatchObject({ commit: clean, versions: { flex: '1.2.3' } });
  write('README.md', 'new, and no code');
  mkdirSync(join(folder, 'runs'));
  write('packages/one/runs/ignored.txt', 'x');
  expect(codeOf(folder).commit).toEqual(clean);
  write('packages/one/src/two.ts', '');
  expect(codeOf(folder).commit).toEqual({ hash, modified: true });
  const next = commit();
  expect(next).not.toBe(hash);
  expect(codeOf(folder).commit).toEqual({ hash: next, modified: false });
  write('packages/one/src/two.ts', 'export {};\n');
  expect(codeOf(folder).commit).toEqual({ hash: next, modified: true });
});

test('the source digest is of names and bytes of the code, not of tests, nor of where it lies', () => {
  const { folder, write } = checkout();
  const before = codeOf(folder).source;
  write('packages/one/src/index.test.ts', 'changed');
  expect(codeOf(folder).source).toBe(before);
  const moved = join(temporaryFolder(), 'moved');
  cpSync(folder, moved, { recursive: true });
  expect(codeOf(moved).source).toBe(before);
  write('packages/one/src/index.ts', 'export const one = 2;\n');
  expect(codeOf(folder).source).not.toBe(before);
  write('packages/one/src/index.ts', 'export const one = 1;\n');
  write('packages/one/src/empty.ts', '');
  expect(codeOf(folder).source).not.toBe(before);
});

test('there is no commit outside a checkout, of code that it does not track, or without git', () => {
  const { root, folder, commit } = checkout();
  expect(codeOf(folder).commit).toBeNull();
  commit();
  const untracked = join(root, 'runs', 'copy');
  mkdirSync(join(root, 'runs'));
  cpSync(folder, untracked, { recursive: true });
  expect(codeOf(untracked).commit).toBeNull();
  vi.stubEnv('PATH', '');
  expect(codeOf(folder).commit).toBeNull();
});

test("the repository of a hook of git's is not taken for the code's", () => {
  const [here, other] = [checkout(), checkout()];
  const hash = here.commit();
  other.write('README.md', 'another commit');
  other.commit();
  vi.stubEnv('GIT_DIR', join(other.root, '.git'));
  vi.stubEnv('GIT_WORK_TREE', other.root);
  expect(codeOf(here.folder).commit).toEqual({ hash, modified: false });
});

test('of a package that depends on another, both are digested', () => {
  const { root, folder, write } = checkout();
  mkdirSync(join(root, 'packages', 'base', 'src'), { recursive: true });
  write('packages/base/package.json', '{"name": "@flex/base", "version": "1.0.0"}');
  write('packages/base/src/index.ts', '');
  const alone = codeOf(folder).source;
  write(
    'packages/one/package.json',
    '{"name": "one", "version": "1.0.0", "dependencies": {"@flex/base": "*"}}',
  );
  mkdirSync(join(folder, 'node_modules', '@flex'), { recursive: true });
  symlinkSync(join(root, 'packages', 'base'), join(folder, 'node_modules', '@flex', 'base'));
  const both = codeOf(folder).source;
  expect(both).not.toBe(alone);
  write('packages/base/src/index.ts', 'export {};\n');
  expect(codeOf(folder).source).not.toBe(both);
});

test.each([
  [['--model', 'm', '--max-new-tokens', '20', 'train.seed=1'], null],
  [
    ['--token', 'abc123'],
    ['--token', '***'],
  ],
  [['--api-key=abc'], ['--api-key=***']],
  [['logging.hf_token=abc'], ['logging.hf_token=***']],
  [['password=a b=c'], ['password=***']],
  [['Authorization: Bearer abc'], ['Authorization: ***']],
  [['https://me:pass@example.com/x'], ['https://***@example.com/x']],
  [
    ['--queue', 'redis://me:p@ss@example.com/1'],
    ['--queue', 'redis://***@example.com/1'],
  ],
  [
    ['data=https://example.com/x?a=1&api_key=abc&X-Amz-Signature=f0#t'],
    ['data=https://example.com/x?a=1&api_key=***&X-Amz-Signature=***#t'],
  ],
  [[`note=hf_${'aB3'.repeat(12)}`], ['note=***']],
  [[`note=see sk-${'a-1_'.repeat(10)}`], ['note=see ***']],
  [['model=models/hf_codellama_7b_instruct_2026', 'out=runs/sk-first'], null],
  [['log={token: abc, level: 1}'], ['log={token: ***, level: 1}']],
  [['{"api_key":"abc","tokens":5}'], ['{"api_key":"***","tokens":5}']],
  [['data=https://example.com/x?token=abc'], ['data=https://example.com/x?token=***']],
  [['--token'], null],
  [['--token', '--quiet'], null],
  [['out=runs/a@0.5', 'lora.targets=[mlp]', 'me@example.com'], null],
])('of the arguments %j secrets are hidden', (args, shown) => {
  expect(commandLine(['/usr/bin/node', '/home/me/bin/flex.mjs', ...args])).toEqual([
    'flex',
    ...(shown ?? args),
  ]);
});
