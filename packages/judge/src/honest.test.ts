import { describe, expect, test } from 'vitest';
import { judgeAll } from './judge-all.ts';
import { openJudgementCache } from './judgement-cache.ts';
import { openSandbox } from './sandbox/sandbox.ts';
import { honestProgram, readHonest } from './testing/honest.ts';
import { withoutSandbox } from './testing/without-sandbox.ts';
import { toolchainVersions } from './toolchain.ts';

describe('honest programs', () => {
  const programs = readHonest();

  test('are at least 150 in Python and 50 in Java, all different', () => {
    const count = (language: string) => programs.filter((program) => program.language === language).length;
    expect(count('python')).toBeGreaterThanOrEqual(150);
    expect(count('java')).toBeGreaterThanOrEqual(50);
    expect(new Set(programs.map(({ problem, source }) => `${problem}\n${source}`)).size).toBe(
      programs.length,
    );
  });

  test.skipIf(withoutSandbox)('all pass', { timeout: 300_000 }, async () => {
    const jobs = programs.map((honest) => ({ program: honestProgram(honest), canonical: null }));
    const judgements = await judgeAll(jobs, {
      sandbox: await openSandbox(),
      lanes: 2,
      timeout: null,
      toolchains: await toolchainVersions(['py', 'java']),
      cache: openJudgementCache(null),
    });
    const wrong = programs.flatMap(({ file, problem, name }, i) => {
      const { verdict, assurance, detail } = judgements[i];
      if (verdict === 'passed' && assurance === 'isolated') return [];
      return [`${file}: ${problem}: ${name}: ${verdict}, ${assurance}: ${detail}`];
    });
    expect(wrong).toEqual([]);
  });
});
