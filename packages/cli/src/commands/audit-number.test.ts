import { stripVTControlCharacters } from 'node:util';
import type { NumberAudit } from '@flex/eval';
import { describe, expect, test, vi } from 'vitest';
import { failureOf, messageOf } from '../failure.ts';
import { auditNumberCommand } from './audit-number.ts';

/**
 * Runs the command in this process; what it wrote to standard output, its exit code, and the line of its
 * error.
 */
async function run(...args: string[]) {
  let stdout = '';
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      stdout += stripVTControlCharacters(String(text));
      return true;
    }),
    vi.spyOn(process.stderr, 'write').mockImplementation(() => true),
  ];
  try {
    await auditNumberCommand().exitOverride().parseAsync(args, { from: 'user' });
    return { code: 0, message: '', stdout };
  } catch (error) {
    return { code: failureOf(error).exit_code, message: messageOf(error, false), stdout };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

describe('flex audit-number', () => {
  test('says that no count gives a number, the nearest, and what would give it', async () => {
    const { stdout, code } = await run('42.07', '--benchmark', 'humaneval-java');
    expect(code).toBe(0);
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      'multipl-e:java, 158 problems: 42.07 % is no count; ' +
        'the nearest are 66/158 = 41.7722 % and 67/158 = 42.4051 %.',
      'It would be 69/164 = 42.07317 % of humaneval.',
    ]);
    expect(stdout).toContain('With 13 problems of multipl-e:java left out it would be 61/145 = 42.06897 %.');
  });
  test('says which count a number is, and no more', async () => {
    const { stdout } = await run('33.5', '--benchmark', 'humaneval');
    expect(stdout).toBe('humaneval, 164 problems: 33.5 % is 55/164 = 33.5366 %.\n');
  });
  test('names the rounding where another would not give the number', async () => {
    expect((await run('6.2', '--n', '16')).stdout).toContain('1/16 = 6.2500 % (only half-even or truncated)');
    expect((await run('6.3', '--n', '16')).stdout).toContain('1/16 = 6.2500 % (only half-up)');
  });
  test('shortens many counts to the first and the last', async () => {
    const { stdout } = await run('50', '--n', '164', '--samples', '200');
    expect(stdout).toContain(
      'a benchmark, 164 problems · 200 samples: 50 % is any of 492 counts from 16236/32800',
    );
  });
  test('--json prints the audit and nothing else', async () => {
    const { stdout } = await run('0.4207', '--fraction', '--benchmark', 'humaneval', '--json');
    const audit = JSON.parse(stdout) as NumberAudit;
    expect(audit).toMatchObject({ possible: true, asked: [{ counts: [{ count: 69, of: 164 }] }] });
  });
  test.each([
    [['42.07'], 'give --benchmark NAME or --n PROBLEMS'],
    [['42.07', '--benchmark', 'mbpp', '--n', '500'], 'one of them'],
    [['42.07', '--benchmark', 'humaneval-jva'], 'did you mean humaneval-java'],
    [['42.07', '--n', 'many'], 'got NaN'],
    [['42.07', '--n', '164', '--samples', '1.5'], 'got 1.5'],
    [['forty', '--n', '164'], '"forty" is not a number'],
    [['0.5', '--n', '164'], 'add --fraction'],
    [[], ''],
  ])('refuses %j with exit code 2 and one line', async (args, words) => {
    const { code, message, stdout } = await run(...args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(message).toContain(words);
    expect(message).not.toContain('\n');
  });
});
