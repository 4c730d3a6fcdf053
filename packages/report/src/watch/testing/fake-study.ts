import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestJson } from '@flex/base';
import type { StudyManifest } from '@flex/study';

/** A study's folder whose runs go as a test says. */
export interface FakeStudy {
  readonly folder: string;
  /** Where a run lies. */
  at(run: string): string;
  /** Begins a run of so many updates. */
  begin(run: string, steps: number): void;
  /** Appends lines to its metrics. */
  write(run: string, lines: readonly object[]): void;
  /** Writes how it ended. */
  end(run: string, status: 'done' | 'interrupted'): void;
  fail(run: string, error: string): void;
  remove(): void;
}

const arms = [
  { name: 'lambda-0', isLevel: true, controls: [{ kind: 'unpenalized', of: 'lambda-0.2' }] },
  { name: 'lambda-0.2', isLevel: true, controls: [] },
  { name: 'matched-l2+lambda-0.2', isLevel: false, controls: [{ kind: 'matched-l2', of: 'lambda-0.2' }] },
] as const;

/** Names of the runs of a study of three arms with so many seeds. */
export const runsOf = (seeds: number): string[] =>
  arms.flatMap(({ name }) => Array.from({ length: seeds }, (_, seed) => `${name}/seed-${seed}`));

/** Makes a study of three arms, none of whose runs has begun. */
export function fakeStudy(seeds: number): FakeStudy {
  const folder = mkdtempSync(join(tmpdir(), 'flex-watch-'));
  const at = (run: string) => join(folder, 'runs', run);
  writeManifest(folder, seeds);
  return {
    folder,
    at,
    begin(run, steps) {
      mkdirSync(at(run), { recursive: true });
      const ofRun = { digests: { run, held_out: '' }, provenance: { options: '' } };
      const manifest = { kind: 'flex-run', steps, extended: [], seeds: { 'train.seed': 0 }, ...ofRun };
      writeFileSync(join(at(run), 'manifest.json'), JSON.stringify(manifest));
    },
    write: (run, lines) => appendFileSync(join(at(run), 'metrics.jsonl'), jsonLines(lines)),
    end: (run, status) => writeFileSync(join(at(run), 'summary.json'), JSON.stringify({ status })),
    fail(run, error) {
      const file = join(folder, 'failures', `${run}.json`);
      mkdirSync(join(file, '..'), { recursive: true });
      const failure = { error, at: new Date().toISOString(), command: ['flex'], exit_code: 1, signal: null };
      writeFileSync(file, JSON.stringify(failure));
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

/** Writes study.json of a study of three arms with so many seeds. */
export function writeManifest(folder: string, seeds: number): void {
  const runs = runsOf(seeds).map((name) => {
    const [arm, seed] = name.split('/seed-');
    return { name, arm, seed: Number(seed), key: digestJson({ run: name, held_out: '', options: '' }) };
  });
  const manifest: StudyManifest = {
    kind: 'flex-study',
    title: 'A study of arms',
    notes: [],
    claims: [],
    halving: null,
    digest: digestJson([runs.map(({ key }) => key).sort(), []]),
    arms: arms.map((arm) => ({ ...arm, aliases: [], levels: {}, keys: {} })),
    runs,
    seeds: Array.from({ length: seeds }, (_, seed) => seed),
    off: {},
    evaluations: [],
    model: '/nowhere',
    history: [],
  };
  writeFileSync(join(folder, 'study.json'), JSON.stringify(manifest));
}

/** Lines of metrics of the updates `from` to `to`, with the losses before the first where that is 1. */
export function linesOf(
  from: number,
  to: number,
  loss: (step: number) => number = (step) => 3 / step,
): object[] {
  const updates = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const start = from === 1 ? [{ step: 0, epoch: 0, eval: { 'held.jsonl': 3 } }] : [];
  const lines = updates.map((step) => ({
    step,
    epoch: step / 100,
    lr: 0.01,
    loss: loss(step),
    penalty: 0.5,
    grad_norm: 1 / step,
    tokens_per_second: 1000 + step,
    seconds: 0.25,
    ...(step % 50 === 0 && { eval: { 'held.jsonl': 2 + 1 / step } }),
  }));
  return [...start, ...lines];
}

/** As JSON Lines. */
export const jsonLines = (lines: readonly object[]): string =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join('');
