import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';

const module = join(import.meta.dirname, 'native-stderr.ts');
const program = `
  import { writeSync } from 'node:fs';
  import { withoutNoise } from '${module}';
  process.stderr.write('before\\n');
  const got = withoutNoise((line) => line.startsWith('Warning: max'), () => {
    writeSync(2, 'Warning: maxX artificially reduced\\nError: lost\\n');
    return 'got';
  });
  try {
    withoutNoise(() => true, () => {
      writeSync(2, 'noise\\n');
      throw new Error('thrown');
    });
  } catch (error) {
    process.stderr.write(got + ' ' + error.message + '\\n');
  }
  writeSync(2, 'after\\n');`;

/** What the program leaves in a file, its standard error redirected by a shell in some way. */
function stderrThrough(redirection: string): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'program.mts'), program);
  writeFileSync(join(folder, 'out'), 'there\n');
  const tsx = join(import.meta.dirname, '../../../../../node_modules/.bin/tsx');
  execFileSync('bash', ['-c', `(${tsx} program.mts; echo end >&2) ${redirection}`], { cwd: folder });
  return readFileSync(join(folder, 'out'), 'utf8');
}

const told = 'before\nError: lost\ngot thrown\nafter\nend\n';
const all = 'before\nWarning: maxX artificially reduced\nError: lost\nnoise\ngot thrown\nafter\nend\n';

test.runIf(process.platform === 'linux').each([
  ['2>&1 | cat > out', told],
  ['2>> out', `there\n${told}`],
  // Opened a second time, it would be written from its beginning.
  ['2> out', all],
])(
  'noise is dropped, and nothing else, where standard error can be opened twice: %s',
  (redirection, text) => {
    expect(stderrThrough(redirection)).toBe(text);
  },
);
