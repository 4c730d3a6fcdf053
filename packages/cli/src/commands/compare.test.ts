import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { beginProvenance, finishProvenance, type Provenance, resumeProvenance } from '@flex/base';
import { someInputs, someSetting, source } from '@flex/base/testing';
import { type Comparison, encodeResults, encodeSample, protocolHash, sampleRow, score } from '@flex/eval';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { failureOf, messageOf } from '../failure.ts';
import { compareCommand } from './compare.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-compare-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the command in this process; what it wrote, its exit code, and the line of its error. */
async function run(...args: string[]) {
  const written = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += stripVTControlCharacters(String(text));
      return true;
    }),
  );
  try {
    await compareCommand().exitOverride().parseAsync(args, { from: 'user' });
    return { code: 0, message: '', ...written };
  } catch (error) {
    return { code: failureOf(error).exit_code, message: messageOf(error, false), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

type Outcome = { readonly passed: boolean; readonly text: string };

/** Writes a result folder with these samples by problem. */
function write(
  name: string,
  outcomes: Record<string, Outcome[]>,
  {
    wallSeconds = 10,
    k = [],
    provenance,
  }: { wallSeconds?: number; k?: number[]; provenance?: Provenance } = {},
): string {
  const path = join(folder, name);
  const problems = Object.entries(outcomes).map(([id, samples]) => ({
    id,
    language: 'py' as const,
    samples: samples.map(({ passed, text }) =>
      sampleRow(
        { task_id: id, completion: text },
        { id, language: 'py' },
        {
          verdict: passed ? 'passed' : 'failed',
          failure: passed ? null : 'assertion',
          detail: passed ? '' : 'AssertionError: \u001b[2Jgone',
          assurance: 'isolated',
          seconds: 0.1,
        },
      ),
    ),
  }));
  mkdirSync(path);
  const lines = problems.flatMap(({ samples }) => samples.map(encodeSample)).join('');
  const samples_sha256 = createHash('sha256').update(lines).digest('hex');
  const parts = { limits: { wallSeconds } };
  const results = {
    benchmark: 'humaneval',
    protocol: protocolHash(parts),
    protocol_parts: parts,
    samples_sha256,
    provenance,
  };
  writeFileSync(
    join(path, 'results.json'),
    encodeResults({ ...score(problems, { n: null, k, incomplete: 'fail' }), ...results }),
  );
  writeFileSync(join(path, 'samples.jsonl'), lines);
  return path;
}

/** One sample for each of 20 problems. */
function singles(passes: (problem: number) => boolean, text: (problem: number) => string = String) {
  const entries = Array.from({ length: 20 }, (_, i) => [`P/${i}`, [{ passed: passes(i), text: text(i) }]]);
  return Object.fromEntries(entries) as Record<string, Outcome[]>;
}

describe('flex compare', () => {
  test('prints the difference, its test, and what could have been shown', async () => {
    const a = write(
      'A',
      singles((i) => i < 4),
    );
    const b = write(
      'B',
      singles((i) => i < 13),
    );
    const { code, stdout } = await run(a, b, '--no-diff');
    expect(code).toBe(0);
    expect(stdout).toMatch(/pass@1 +│ +20\.0 % │ +65\.0 %/);
    expect(stdout).toContain('pass@1, B less A: +45.0 points, 95 % interval +18.8 to +62.9');
    expect(stdout).toContain('passed by A alone 0, by B alone 9; exact McNemar test, two-sided: p = 0.0039');
    expect(stdout).toContain(
      'The smallest difference that 20 problems, of which 9 tell A and B apart, could have shown at ' +
        'p ≤ 0.05 is 35.0 points (7 problems net); a true difference of 4',
    );
    expect(stdout.match(/^P\/\d+ \(py\) {2}A failed: .* {2}B passed$/gm)).toHaveLength(9);
    expect(stdout).not.toMatch(/@@|the same text/);
  });
  test('shows the discordant problems as unified diffs, and only these', async () => {
    const lines = (last: string) => `${[...'abcdefgh', last].join('\n')}\n`;
    const a = write(
      'A',
      singles(
        (i) => i !== 3,
        () => lines('x'),
      ),
    );
    const b = write(
      'B',
      singles(
        () => true,
        () => lines('y'),
      ),
    );
    const { stdout } = await run(a, b);
    expect(stdout).toContain('  --- A\n  +++ B\n  @@ -6,4 +6,4 @@\n   f\n   g\n   h\n  -x\n  +y\n');
    expect(stdout.match(/@@ -/g)).toHaveLength(1);
    expect(stdout).toContain('cannot show a difference: no split of fewer than 6');
  });
  test('writes what could steer a terminal as escapes', async () => {
    const a = write(
      'A',
      singles(
        (i) => i !== 0,
        () => 'ok',
      ),
    );
    const b = write(
      'B',
      singles(
        () => true,
        () => 'ok\u001b]0;title\u0007\u202e\r\tend',
      ),
    );
    const { stdout } = await run(a, b);
    expect(stdout).toContain('+ok\\u{1b}]0;title\\u{7}\\u{202e}\\u{d}\tend');
    expect(stdout).toContain('AssertionError: \\u{1b}[2Jgone');
  });
  test('uses the permutation test for several samples a problem, and says why', async () => {
    const several = (passes: number) =>
      Object.fromEntries(
        Array.from({ length: 12 }, (_, i) => [
          `P/${i}`,
          Array.from({ length: 4 }, (_, j) => ({ passed: j < (i + passes) % 5, text: `${j}` })),
        ]),
      );
    const { stdout } = await run(write('A', several(0)), write('B', several(1)));
    expect(stdout).toMatch(
      /A better on 2 problems, B on 10; paired permutation test, two-sided: p = 0\.\d{4}/,
    );
    expect(stdout).toContain("McNemar's test is for problems that are passed or not");
    expect(stdout).toContain('A 0/4 passed: AssertionError');
  });
  test('takes every k that both have, or those asked for, and shows the problems of the first', async () => {
    const several = (passes: number) =>
      Object.fromEntries(
        Array.from({ length: 12 }, (_, i) => [
          `P/${i}`,
          Array.from({ length: 4 }, (_, j) => ({ passed: j < (i + passes) % 5, text: `${j}` })),
        ]),
      );
    const [a, b] = [write('A', several(0), { k: [4, 2] }), write('B', several(1), { k: [4] })];
    const { stdout } = await run(a, b, '--no-diff');
    expect(stdout).toMatch(/pass@1 +│ +43\.8 % │ +47\.9 %/);
    expect(stdout).toMatch(/pass@4 +│ +75\.0 % │ +83\.3 %/);
    expect(stdout).not.toContain('pass@2');
    expect(stdout).toMatch(/pass@1, B less A: \+4\.2 points.*pass@4, B less A: \+8\.3 points/s);
    expect(stdout).toContain('passed by A alone 2, by B alone 3; exact McNemar test, two-sided: p = 1.0000');
    expect(stdout.match(/^P\/\d+ /gm)).toHaveLength(12);
    const asked = await run(a, b, '--no-diff', '--k', '4,2');
    expect(asked.stdout).toMatch(/pass@4, B less A.*pass@1, B less A.*pass@2, B less A/s);
    expect(asked.stdout.match(/^P\/\d+ /gm)).toHaveLength(5);
    expect(JSON.parse((await run(a, b, '--json', '--k', '4')).stdout)).toMatchObject({
      headline: 'pass@4',
      differences: { 'pass@1': { only_b: 10 }, 'pass@4': { only_a: 2, only_b: 3 } },
    });
  });
  test('--json prints the comparison and nothing else', async () => {
    const a = write(
      'A',
      singles((i) => i < 4),
    );
    const b = write(
      'B',
      singles((i) => i < 13),
    );
    const { stdout } = await run(a, b, '--json');
    const comparison = JSON.parse(stdout) as Comparison;
    expect(comparison).toMatchObject({ n: 20, headline: 'pass@1' });
    expect(comparison.differences['pass@1']).toMatchObject({
      ...{ only_a: 0, only_b: 9, test: { name: 'mcnemar', p: 2 / 512 } },
    });
    expect(comparison.discordant).toHaveLength(9);
  });
  test('two equal evaluations have an interval around 0', async () => {
    const { stdout } = await run(
      write(
        'A',
        singles((i) => i < 4),
      ),
      write(
        'B',
        singles((i) => i < 4),
      ),
    );
    expect(stdout).toMatch(/B less A: \+0\.0 points, 95 % interval −12\.9 to \+12\.9\n/);
    expect(stdout).toContain('p = 1.0000');
  });
});

describe('flex compare says of both sides', () => {
  const modified = { ...someSetting.code, commit: { hash: '9'.repeat(40), modified: true } };
  const adapter = { ...source('/runs/fourier/adapter', 'e'.repeat(64)), weight: 1 };
  const ofA = finishProvenance(beginProvenance(someInputs, someSetting));
  const ofB = finishProvenance(
    resumeProvenance(ofA, {
      inputs: { ...someInputs, model: source('/models/other'), adapters: [adapter], merged: 'nf4' },
      setting: { ...someSetting, code: modified, device: null, command: ['flex', 'eval', '--out', 'a b'] },
    }),
  );
  const when = ofA.started.slice(0, 16).replace('T', ' ');

  test('which model, adapter, data, samples, code, command, when and where', async () => {
    const a = write(
      'A',
      singles(() => true),
      { provenance: ofA },
    );
    const b = write(
      'B',
      singles(() => false),
      { provenance: ofB },
    );
    const { stdout } = await run(a, b, '--no-diff');
    const row = (name: string) =>
      stdout
        .split('\n')
        .find((line) => new RegExp(`^│ ${name} +│`).test(line))
        ?.split('│')
        .slice(2, 4)
        .map((cell) => cell.trim());
    expect(row('model')).toEqual(['models/tiny aaaaaaaa', 'models/other aaaaaaaa']);
    expect(row('adapter')).toEqual(['none', 'fourier/adapter eeeeeeee, merged as nf4']);
    expect(row('data')).toEqual(Array(2).fill('data/HumanEval.jsonl bbbbbbbb (benchmark)'));
    expect(row('samples')).toEqual(['generated', 'generated']);
    expect(row('code')).toEqual(['flex 0.1.0 0123456', 'flex 0.1.0 9999999 (modified)']);
    expect(row('when')?.map((cell) => cell.slice(0, 16))).toEqual([when, when]);
    expect(row('when')?.[1]).toMatch(/UTC, resumed once$/);
    expect(row('where')).toEqual(['here, a device', 'here']);
    expect(stdout).toContain("A: flex eval\nB: flex eval --out 'a b'\n");
    const { stdout: json } = await run(a, b, '--json');
    const comparison = JSON.parse(json) as Comparison;
    expect([comparison.a.provenance, comparison.b.provenance]).toEqual([ofA, ofB]);
  });

  test('that it was not recorded, of older results', async () => {
    const { stdout } = await run(
      write(
        'A',
        singles(() => true),
      ),
      write(
        'B',
        singles(() => false),
      ),
      '--no-diff',
    );
    expect(stdout.match(/not recorded/g)).toHaveLength(16);
  });
});

describe('flex compare refuses with exit code 2 and one line', () => {
  test('different protocols, and warns of them with --force', async () => {
    const a = write(
      'A',
      singles((i) => i < 4),
    );
    const b = write(
      'B',
      singles((i) => i < 13),
      { wallSeconds: 3 },
    );
    const refused = await run(a, b);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.message).toContain('limits.wallSeconds: 10 against 3');
    const forced = await run(a, b, '--force');
    expect(forced.code).toBe(0);
    expect(forced.stderr).toContain('the protocols differ: limits.wallSeconds: 10 against 3');
    expect(forced.stdout).toContain('+45.0 points');
  });
  test('a missing folder, and that of a training run', async () => {
    const a = write(
      'A',
      singles((i) => i < 4),
    );
    expect(await run(a, join(folder, 'nowhere'))).toMatchObject({ code: 2, stdout: '' });
    const training = join(folder, 'run');
    mkdirSync(training);
    for (const name of ['config.yaml', 'metrics.jsonl']) writeFileSync(join(training, name), '');
    const { code, message } = await run(training, a);
    expect(code).toBe(2);
    expect(message).toContain('holds a training run');
  });
  test('a k beyond the samples, and one that is none', async () => {
    const a = write(
      'A',
      singles(() => true),
    );
    const { code, message, stdout } = await run(a, a, '--k', '1,2');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(message).toMatch(/compare: pass@2 needs 2 samples a problem; P\/0 has 1 in /);
    expect((await run(a, a, '--k', '0')).code).toBe(2);
  });
  test('one folder alone', async () => {
    expect((await run(folder)).code).toBe(2);
  });
});
