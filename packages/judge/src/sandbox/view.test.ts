import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { SandboxError } from '../errors.ts';
import { python } from '../testing/boxed.ts';
import { withoutSandbox } from '../testing/without-sandbox.ts';
import type { Mode } from './bubblewrap.ts';
import { defaultLimits } from './limits.ts';
import { bubblewrapSandbox, findBubblewrap, hiding } from './sandbox.ts';
import { seccompFilter } from './seccomp.ts';
import { projectAround, viewOf } from './view.ts';

const isRoot = process.getuid?.() === 0;

/** A temporary folder that boxes see, with a file in it. */
function seenFolder(): { folder: string; file: string; reads: string[] } {
  const folder = temporaryFolder();
  const file = join(folder, 'data', 'file');
  mkdirSync(dirname(file));
  writeFileSync(file, 'text');
  return { folder, file, reads: [folder] };
}

describe('a view', () => {
  test('shows programs, libraries and what is named, of what there is', () => {
    const { folder, reads } = seenFolder();
    expect(viewOf([], []).shown).toEqual(expect.arrayContaining(['/usr/bin', '/etc/ld.so.cache']));
    expect(viewOf([], []).shown).not.toContain(folder);
    expect(viewOf([...reads, join(folder, 'nothing')], []).shown).toEqual([...viewOf([], []).shown, folder]);
    expect(viewOf([join(folder, 'da*a')], []).shown.at(-1)).toBe(join(folder, 'data'));
    expect(viewOf([join(folder, 'd*', 'f*')], []).shown.at(-1)).toBe(join(folder, 'data', 'file'));
    expect(viewOf([join(folder, 'x*')], []).shown).toEqual(viewOf([], []).shown);
  });

  test('has none of the folders that hold everything', () => {
    const { shown } = viewOf([], []);
    for (const folder of ['/', '/usr', '/usr/lib', '/usr/share', '/usr/local', '/usr/local/lib', '/etc']) {
      expect(shown).not.toContain(folder);
    }
  });

  test('masks what is hidden where it would be seen, and no part of it twice', () => {
    const { folder, file, reads } = seenFolder();
    const masked = (...hidden: string[]) =>
      viewOf(reads, hidden).masked.filter((path) => path.startsWith(folder));
    expect(masked()).toEqual([]);
    expect(masked(file)).toEqual([file]);
    expect(masked(file, dirname(file), file)).toEqual([dirname(file)]);
    expect(masked(join(folder, 'nothing'), '/nowhere', `${folder}-other`)).toEqual([]);
  });

  test('masks the private folder that it lies in, which bubblewrap may not enter', () => {
    const { file, reads } = seenFolder();
    chmodSync(dirname(file), 0o700);
    expect(viewOf(reads, [file]).masked.at(-1)).toBe(dirname(file));
  });

  test('masks it behind links, whichever way they lead', () => {
    const { folder, file } = seenFolder();
    const link = join(temporaryFolder(), 'link');
    symlinkSync(folder, link);
    const hidden = (reads: string, path: string) => viewOf([reads], [path]).masked.at(-1);
    expect(hidden(folder, join(link, 'data'))).toBe(dirname(file));
    expect(hidden(link, dirname(file))).toBe(join(link, 'data'));
  });

  test('is refused where something hidden holds what programs need', () => {
    const { folder, reads } = seenFolder();
    for (const hidden of [folder, dirname(folder), '/usr', '/usr/bin', '/']) {
      expect(() => viewOf(reads, [hidden])).toThrow(SandboxError);
      expect(() => viewOf(reads, [hidden])).toThrow(/^sandbox: \S+ is to be hidden, but programs need \//);
    }
  });

  test("masks the harness's working folder and home, unless all lies in them", () => {
    const { folder, file, reads } = seenFolder();
    const cwd = vi.spyOn(process, 'cwd').mockReturnValue(dirname(file));
    onTestFinished(() => cwd.mockRestore());
    expect(viewOf(reads, []).masked).toContain(dirname(file));
    cwd.mockReturnValue('/');
    expect(viewOf(reads, []).masked).not.toContain(dirname(file));
    vi.stubEnv('HOME', dirname(file));
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(viewOf(reads, []).masked).toContain(dirname(file));
    vi.stubEnv('HOME', folder);
    expect(viewOf(reads, []).masked.filter((path) => path.startsWith(folder))).toEqual([]);
  });

  test('masks the project that the judge belongs to', () => {
    const project = join(import.meta.dirname, '../../../..');
    const { masked } = viewOf([dirname(project)], []);
    expect(masked).toContain(project);
    const folder = temporaryFolder();
    const judge = join(folder, 'app/node_modules/judge');
    mkdirSync(judge, { recursive: true });
    expect(projectAround(judge)).toBe(judge);
    writeFileSync(join(judge, 'package.json'), '{}');
    writeFileSync(join(folder, 'app/package.json'), '{}');
    expect(projectAround(judge)).toBe(join(folder, 'app'));
  });
});

/** Prints every file and folder of this name that has something in it, wherever a program can look. */
const search = `
import json, os, sys
def holds(path):
    try:
        return bool(os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(1))
    except OSError:
        return False
found = [
    os.path.join(folder, name)
    for folder, folders, files in os.walk('/')
    for name in folders + files
    if name == sys.argv[1] and holds(os.path.join(folder, name))
]
print(json.dumps(found))`;

const name = `flex-marker-${process.pid}`;
/** Where people keep data, and where nobody should. */
const unseen = [
  '/usr/src/app',
  '/usr/share',
  '/usr/lib',
  '/usr/lib/python3/dist-packages',
  '/usr/local/share',
];
const packaged = ['/usr/lib/python3.99/site-packages', '/usr/local/lib/python3.99/dist-packages'];
const amongPrograms = ['/usr/include', '/usr/lib/locale', '/usr/bin', '/usr/local/bin'];

describe.skipIf(withoutSandbox || !isRoot)('data below /usr', () => {
  test.each<Mode>(['bubblewrap', 'bubblewrap-as-root'])('are seen by no program (%s)', async (mode) => {
    const made = [...unseen, ...packaged, ...amongPrograms].flatMap((folder) => [
      mkdirSync(join(folder, name, name), { recursive: true }) as string,
    ]);
    onTestFinished(() => {
      for (const path of made) rmSync(path, { recursive: true });
    });
    for (const folder of [...unseen, ...packaged, ...amongPrograms]) {
      writeFileSync(join(folder, name, name, name), 'a solution', { mode: 0o644 });
    }
    const file = `/usr/lib/locale/${name}-file/${name}`;
    made.push(mkdirSync(dirname(file), { recursive: true }) as string);
    writeFileSync(file, 'a solution');
    const sandbox = bubblewrapSandbox(findBubblewrap(), mode, seccompFilter(process.arch));
    const found = async (hidden: readonly string[]) => {
      const box = hiding(sandbox, hidden).open({
        ...python(search, name),
        reads: ['/usr/include'],
        limits: defaultLimits,
        lane: 0,
      });
      const end = await box.ended;
      expect(end).toMatchObject({ code: 0, stderr: '' });
      return JSON.parse(end.stdout) as string[];
    };
    const hidden = [...amongPrograms.map((folder) => join(folder, name)), file];
    expect(await found(hidden)).toEqual([]);
    // What the search would find.
    expect(await found([])).toEqual(expect.arrayContaining(hidden));
    expect((await found([])).filter((path) => !hidden.some((known) => path.startsWith(known)))).toEqual([]);
  });
});
