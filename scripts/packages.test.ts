import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withoutSandbox } from '@flex/judge/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

// What a stranger does: all packages, packed, installed into an empty project far from this workspace. The
// first ts block of a package's README is a program of that project, and the text block after it its output.

const root = join(import.meta.dirname, '..');
const folders = readdirSync(join(root, 'packages'));
const examples = folders.flatMap((folder) => {
  const readme = readFileSync(join(root, 'packages', folder, 'README.md'), 'utf8');
  const found = /^```ts\n(?<source>.*?)^```\n+```text\n(?<output>.*?)^```/ms.exec(readme);
  return found ? [{ folder, source: found.groups!.source, output: found.groups!.output }] : [];
});
const project = mkdtempSync(join(tmpdir(), 'flex-packages-'));

beforeAll(() => {
  run(process.execPath, [join(root, 'scripts/build.mjs')]);
  install(pack());
}, 300_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** Standard output of a command in the project; throws with all it printed where it fails. */
function run(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { cwd: project, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}`);
  }
}

interface Manifest {
  readonly name: string;
  readonly exports: object;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const readManifest = (...path: string[]) =>
  JSON.parse(readFileSync(join(...path, 'package.json'), 'utf8')) as Manifest;
const write = (file: string, text: string) => writeFileSync(join(project, file), text);

/** The tarball of each package, by its name. */
function pack(): Record<string, string> {
  const built = folders.map((folder) => join(root, 'dist', folder));
  const packed = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', project, ...built]));
  return Object.fromEntries(
    Object.values(packed as { name: string; filename: string }[]).map(({ name, filename }) => [
      name,
      `file:${join(project, filename)}`,
    ]),
  );
}

/** The packages with their peers, at the versions this workspace has, so mostly from pnpm's store. */
function install(tarballs: Record<string, string>): void {
  const { devDependencies } = readManifest(root);
  const peers = ['@types/node', 'fast-check', 'vitest'].map((name) => [name, devDependencies[name]]);
  const dependencies = { ...tarballs, ...Object.fromEntries(peers) };
  write('package.json', JSON.stringify({ type: 'module', private: true, dependencies }));
  // Packages need each other at versions that no registry has; gpu.js does without what it is not given.
  const overrides = { ...tarballs, 'gpu.js>webgpu': '-', 'gpu.js>gl': '-' };
  const allowBuilds = { esbuild: false, 'msgpackr-extract': false, webgpu: false };
  write('pnpm-workspace.yaml', JSON.stringify({ overrides, allowBuilds }));
  run('npx', ['--yes', 'pnpm@12', 'install', '--prefer-offline']);
}

describe('the packed packages in an empty project', () => {
  test('compile in strict mode: every entry, and every README example', () => {
    const entries = folders.flatMap((folder) => {
      const { name, exports } = readManifest(root, 'packages', folder);
      return Object.keys(exports).map((entry) => `import '${name}${entry.slice(1)}';\n`);
    });
    write('entries.ts', entries.join(''));
    for (const { folder, source } of examples) write(`${folder}.ts`, source);
    // No DOM: our types must not count on a browser's, WebGPU's among them.
    const target = 'ES2023';
    const compilerOptions = { strict: true, target, lib: [target], module: 'NodeNext', types: ['node'] };
    write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    run(join(root, 'node_modules/.bin/tsc'), []);
  });

  test('load: every entry', () => {
    expect(run(process.execPath, ['entries.js'])).toBe('');
  });

  for (const { folder, source, output } of examples) {
    const needsSandbox = source.includes('openSandbox(');
    test.skipIf(needsSandbox && withoutSandbox)(`run: ${folder}'s prints what its README says`, () => {
      expect(run(process.execPath, [`${folder}.js`])).toBe(output);
    });
  }

  test('bring the example programs of every language, for checkLanguage', () => {
    const judge = `import { languages } from '@flex/judge';\nimport { readExamples } from '@flex/judge/testing';\n`;
    write('languages.js', `${judge}console.log(languages.map(readExamples).length);`);
    expect(Number(run(process.execPath, ['languages.js']))).toBeGreaterThan(1);
  });

  test('give the command `flex`, which trains what it brings along, and says what to type next', () => {
    const small = ['train.max_steps=1', 'train.batch_size=1', 'eval=[]', 'out=run'];
    const output = run('npx', ['flex', 'train', '--device', 'cpu', ...small]);
    expect(output).toContain('  npx flex spectrum --adapter run/adapter\n');
  });
});
