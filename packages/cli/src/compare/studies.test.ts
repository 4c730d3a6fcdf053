import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { randomOf } from '@flex/eval/testing';
import type { StudyAnalysis, StudyComparison } from '@flex/study';
import { simulatedStudy, writeStudyRecord } from '@flex/study/testing';
import { describe, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const spread = { seed: 0.01, example: 0.05, rest: 0.02 };
const simulation = { seeds: 3, examples: 30, effects: [0, 0.5, 0], spread };

/** A study's folder; the effects are those of the arm, of none, and of L2. */
function study(effects = simulation.effects, seed = 1): string {
  return writeStudyRecord(temporaryFolder(), simulatedStudy({ ...simulation, effects }, randomOf(seed)));
}

describe('flex compare of a study', () => {
  test('tells its arms, what they differ by, what follows and what limits it', async () => {
    const { code, stdout, stderr } = await flex('compare', study());
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/│ arm +│ seeds │ +tasks, nats a token │/);
    expect(stdout).toMatch(/│ before any update +│ +│ +[23]\.\d{4} │/);
    expect(stdout).toMatch(
      /│ arm less control-1 +│ tasks │ +−0\.\d{4} │ −0\.\d{4} to −0\.\d{4} │ +0?[.<] ?\d+/,
    );
    expect(stdout).toContain('So the penalty helps here; whether it does other than shrink weights is open.');
    expect(stdout).toMatch(/What limits it\n- 3 seeds: /);
  });
  test('gives the analysis as JSON', async () => {
    const folder = study();
    const { stdout } = await flex('compare', folder, '--json');
    const analysis = JSON.parse(stdout) as StudyAnalysis & { folder: string };
    expect(analysis.folder).toBe(folder);
    expect(analysis.contrasts.map(({ against }) => against)).toEqual(['control-1', 'control-2', null]);
    expect(analysis.families.map(({ question }) => question)).toEqual(['controls', 'base-model']);
  });
});

describe('flex compare of two studies', () => {
  test('compares arms of the same name, those that are the same runs named', async () => {
    const [a, b] = [study(), study([0.4, 0.9, 0.4])];
    const { code, stdout } = await flex('compare', a, b);
    expect(code).toBe(0);
    expect(stdout).toContain('p is corrected by Holm for all 3');
    const rows = stdout.split('\n').filter((line) => line.includes('│ tasks │'));
    expect(rows.map((row) => row.split('│')[1].trim())).toEqual(['arm', 'control-1', 'control-2']);
    for (const row of rows) expect(row).toMatch(/│ +\+0\.4000 │ \+0\.4000 to \+0\.4000 │ < 0\.0001 │/);
    const same = JSON.parse((await flex('compare', a, a, '--json')).stdout) as StudyComparison;
    for (const { isSame, difference, pHolm } of same.arms) {
      expect([isSame, difference.value, pHolm]).toEqual([true, 0, 1]);
    }
  });
  test('names arms that one has alone', async () => {
    const { stdout } = await flex('compare', study(), study([0, 0.5]));
    expect(stdout).toContain('In A alone: control-2');
  });
});

describe('flex compare of two runs', () => {
  test('compares them example by example, and says that seeds are not in it', async () => {
    const folder = study();
    const [a, b] = ['arm', 'control-1'].map((arm) => join(folder, 'runs', arm, 'seed-0'));
    const { code, stdout } = await flex('compare', a, b);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /│ tasks \(30 examples\) +│ [23]\.\d{4} │ 3\.\d{4} │ +\+0\.[45]\d{3} │.*< 0\.0001 │/,
    );
    expect(stdout).toContain('what other seeds would give is in neither');
  });
});

describe('flex compare refuses in one line', () => {
  test('a run that is not done or held nothing out, and studies without an arm in common', async () => {
    const [a, b] = [study(), study()];
    const runs = [a, b].map((folder) => join(folder, 'runs/arm/seed-0'));
    rmSync(join(runs[0], 'held-out.jsonl'));
    expect((await flex('compare', ...runs)).stderr).toMatch(/seed-0 has no held-out data to compare on\n$/);
    writeFileSync(join(runs[0], 'summary.json'), JSON.stringify({ status: 'interrupted' }));
    expect((await flex('compare', ...runs)).stderr).toMatch(
      /seed-0 is interrupted; compare runs that are done\n$/,
    );
    const record = simulatedStudy({ ...simulation, effects: [0] }, randomOf(1));
    const renamed = JSON.parse(
      JSON.stringify(record.manifest)
        .replaceAll('"arm', '"leg')
        .replaceAll('legs"', 'arms"')
        .replaceAll('"leg":', '"arm":'),
    );
    const other = writeStudyRecord(temporaryFolder(), { ...record, manifest: renamed, runs: [] });
    expect((await flex('compare', a, other)).stderr).toMatch(/have no arm in common\n$/);
  });
  test.each([
    ['a run alone', ['RUN'], /holds a run alone; name another to compare it with$/],
    ['two kinds', ['STUDY', 'RUN'], /holds a study and .* a run; compare two of a kind$/],
    ['an option of evaluations', ['STUDY', '--k', '1'], /--k is for evaluations; .* holds a study$/],
    ['what is not there', ['STUDY/none', 'STUDY'], /none: there is no such folder$/],
  ])('%s', async (_, args, message) => {
    const folder = study();
    const paths = args.map((arg) =>
      arg.replace('STUDY', folder).replace('RUN', join(folder, 'runs/arm/seed-0')),
    );
    const { code, stdout, stderr } = await flex('compare', ...paths);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.trim()).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
