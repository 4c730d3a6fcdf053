import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { completionScript } from './completion.ts';
import { commands } from './main.ts';
import { flex } from './testing/flex.ts';

/** Prints what is offered for the last of the arguments. */
const complete = `
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _flex
printf '%s\\n' "\${COMPREPLY[@]}"`;

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flex-completion-'));
  const { stdout } = await flex('completion', 'bash');
  writeFileSync(join(folder, 'complete.sh'), stdout + complete);
  for (const name of ['model-a', 'model b']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'model.json'), '');
});

afterAll(() => rmSync(folder, { recursive: true }));

/** What bash offers for the last of the words. */
function offers(words: readonly string[], script = 'complete.sh'): string[] {
  const out = execFileSync('bash', [script, 'flex', ...words], { cwd: folder, encoding: 'utf8' });
  return out.split('\n').filter(Boolean).sort();
}

test('bash completes commands, and options of each from its own definition', async () => {
  expect(offers([''])).toEqual(expect.arrayContaining([...Object.keys(commands), '--version', '--help']));
  expect(offers(['tr'])).toEqual(['train']);
  for (const [name, load] of Object.entries(commands)) {
    const command = await load();
    const options = [command, ...command.commands].flatMap((each) => each.options);
    const flags = options.flatMap(({ long }) => long ?? []);
    expect(offers([name, '--'])).toEqual([...new Set([...flags, '--help'])].sort());
  }
});

test('bash completes what an option takes: words, folders or files, with spaces too', () => {
  expect(offers(['generate', '--device', ''])).toEqual(['auto', 'cpu', 'gpujs', 'webgpu']);
  expect(offers(['eval', '--benchmark', 'x', '--truncate', 'b'])).toEqual(['blank-line']);
  expect(offers(['generate', '--model', 'mo'])).toEqual(['model b', 'model-a']);
  expect(offers(['generate', '--input', 'mo'])).toEqual(['model b', 'model-a', 'model.json']);
  expect(offers(['train', 'model.'])).toEqual(['model.json']);
  expect(offers(['completion', ''])).toEqual(['bash', 'fish', 'zsh']);
  expect(offers(['generate', '--seed', ''])).toEqual([]);
  expect(offers(['doctor', ''])).toEqual([]);
  expect(offers(['nothing', ''])).toEqual([]);
});

test.each(['zsh', 'fish'])('%s is told of every command and option, in quotes that hold', async (shell) => {
  const { stdout } = await flex('completion', shell);
  for (const [name, load] of Object.entries(commands)) {
    expect(stdout).toContain(name);
    for (const { long } of (await load()).options) expect(stdout).toContain(long!.slice(2));
  }
  const unquoted = stdout.replaceAll(/'(?:[^'\\]|\\.)*'|"[^"]*"|\\'|^#.*$/gm, '');
  expect(unquoted).not.toContain("'");
});

test('commands within a command are completed, and their options', async () => {
  const outer = new Command('outer').addCommand(
    new Command('inner').option('--against <file>', 'x').argument('<file>'),
  );
  const program = new Command('flex').addCommand(outer);
  writeFileSync(join(folder, 'nested.sh'), completionScript('bash', program) + complete);
  const nested = (...words: string[]) => offers(words, 'nested.sh');
  expect(nested('outer', 'i')).toEqual(['inner']);
  expect(nested('outer', 'inner', '--a')).toEqual(['--against']);
  expect(nested('outer', 'inner', '--against', 'model.')).toEqual(['model.json']);
  expect(nested('outer', 'inner', 'model.')).toEqual(['model.json']);
  for (const shell of ['zsh', 'fish'] as const) expect(completionScript(shell, program)).toContain('inner');
});

test('a shell that is not known is refused with those that are', async () => {
  const { code, stderr } = await flex('completion', 'tcsh');
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('bash, zsh, fish') });
});
