import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { findToolchain, type ToolchainSpec } from './find-toolchain.ts';
import { languageIds } from './languages/index.ts';

const spec: ToolchainSpec = {
  name: 'Shell',
  packages: 'dash x',
  programs: ['sh'],
  version: () => 'echo 1.2',
};
const missingLua = {
  name: 'Lua',
  version: null,
  missing: 'lua5.4 is not here',
  install: 'apt-get install lua5.4',
};

afterEach(() => {
  vi.resetModules();
  vi.doUnmock('./find-toolchain.ts');
});

describe('a toolchain', () => {
  test('is found with the version that it tells', async () => {
    const found = { name: 'Shell', version: '1.2', missing: null, install: 'apt-get install dash x' };
    expect(await findToolchain(spec)).toEqual(found);
  });

  test('tells the versions of its libraries too', async () => {
    const { version } = await findToolchain({ ...spec, version: () => 'echo Version 1; echo lib 2' });
    expect(version).toBe('1, lib 2');
  });

  test.each<[string, Partial<ToolchainSpec>, string]>([
    [
      'a program is not on the PATH',
      { programs: ['sh', 'no-such-program'] },
      'no-such-program is not in /usr/',
    ],
    ['a library is missing', { version: () => 'echo 1; echo no lib >&2; exit 1' }, 'no lib'],
    ['it says nothing', { version: () => 'true' }, 'it tells no version'],
    ['it fails without a word', { version: () => 'exit 1' }, 'Command failed'],
  ])('cannot be used where %s', async (_, change, why) => {
    const found = await findToolchain({ ...spec, ...change });
    expect(found.version).toBeNull();
    expect(found.missing).toContain(why);
    expect(found.missing).not.toContain('\n');
    expect(found.install).toBe('apt-get install dash x');
  });

  test('cannot be used where boxes do not see it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'flex-toolchain-'));
    try {
      const { missing } = await findToolchain({ ...spec, programs: [folder] });
      expect(missing).toBe(`${folder} leads to ${folder}, which boxes do not see`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("is asked without the harness's environment", async () => {
    const { version } = await findToolchain({ ...spec, version: () => 'echo "$HOME|$PATH"' });
    expect(version).toBe('|/usr/local/bin:/usr/bin:/bin');
  });
});

describe('the toolchains of the languages', () => {
  test('are each asked once a process, and only when wanted', async () => {
    const look = vi.fn(findToolchain);
    vi.doMock('./find-toolchain.ts', () => ({ findToolchain: look }));
    const { toolchainOf, toolchainVersions } = await import('./toolchain.ts');
    const { languageOf } = await import('./languages/index.ts');
    expect(look).not.toHaveBeenCalled();
    const found = await toolchainOf(languageOf('sh'));
    expect(await toolchainOf(languageOf('sh'))).toBe(found);
    expect(await toolchainVersions(['sh', 'sh'])).toEqual({ sh: found.version });
    expect(look).toHaveBeenCalledTimes(1);
  });

  test('are one for each language, each with a version or with what is missing', async () => {
    const { allToolchains } = await import('./toolchain.ts');
    const all = await allToolchains();
    expect(all.map(({ language }) => language)).toEqual(languageIds);
    expect(new Set(all.map(({ name }) => name)).size).toBe(languageIds.length);
    for (const { version, missing, install } of all) {
      expect(version === null).toBe(missing !== null);
      expect(install).toMatch(/^apt-get install [a-z]/);
      if (version !== null) expect(version).toMatch(/\d\.\d/);
    }
  });

  test('where one is missing, its programs are refused with what installs it', async () => {
    vi.doMock('./find-toolchain.ts', () => ({ findToolchain: async () => missingLua }));
    const { toolchainVersions } = await import('./toolchain.ts');
    const { openJudge } = await import('./judge.ts');
    const line =
      'Lua programs cannot be judged here: lua5.4 is not here; install it with: apt-get install lua5.4';
    const refusal = await toolchainVersions(['lua']).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ name: 'ConfigError', message: line });
    const sandbox = {
      mode: 'none',
      accounting: { memory: 'proc', time: 'proc' } as const,
      open: () => expect.fail('a box was opened'),
    };
    const judge = openJudge({ sandbox, lane: 0, timeout: null });
    const program = { language: 'lua', source: '' } as const;
    for (const tests of [
      { kind: 'appended', code: '' } as const,
      { kind: 'transcripts', cases: [] } as const,
    ]) {
      await expect(judge.judge({ ...program, tests })).rejects.toThrow(line);
    }
  });
});
