import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { parseOverride, type Section } from '@flex/train';
import { tinyTraining } from '@flex/train/testing';
import { stringify } from 'yaml';
import { loadStudy, type Study } from '../load-study.ts';

/**
 * Keys of a run of a tiny model on rows of tokens, some held out, in a folder that is removed with the test.
 */
export function tinyBase(folder = temporaryFolder()): Section {
  const entries = tinyTraining(folder).map(parseOverride);
  const base = Object.fromEntries(entries.map(({ path, value }) => [path.join('.'), value]));
  return { ...base, dtype: 'f32', train: { batch_size: 2, max_steps: 2, eval_every: 1, save_every: 1 } };
}

/** Loads a study from a file that says it, `base` that of `tinyBase` unless it has one. */
export function tinyStudy(study: Section, folder = temporaryFolder()): Promise<Study> {
  const file = join(folder, 'study.yaml');
  writeFileSync(file, stringify({ base: study.base ?? tinyBase(folder), out: 'out', ...study }));
  return loadStudy(file);
}

/** The number, from 1, of the first line of a study's file that has a text. */
export function lineOf({ file }: Pick<Study, 'file'>, text: string): number {
  return (
    readFileSync(file, 'utf8')
      .split('\n')
      .findIndex((line) => line.includes(text)) + 1
  );
}
