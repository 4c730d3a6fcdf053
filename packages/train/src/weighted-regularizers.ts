import { mapTree } from '@flex/autograd';
import { type Adapters, lowRankOf } from '@flex/peft';
import { mul } from '@flex/tensor';
import type { TrainConfig } from './config.ts';
import { namedRegularizer } from './named-parts.ts';
import { makeRegularizer, titleOf } from './parts.ts';
import { distinctLabels } from './regularizer-columns.ts';

/** The regularizers of a run that starts from these adapters. */
export async function weightedRegularizers({ regularizer: sections, train }: TrainConfig, fresh: Adapters) {
  const start = () => mapTree((t) => mul(t, 1), lowRankOf(fresh));
  const penalties = await Promise.all(
    sections.map((part) => makeRegularizer(part, { seed: train.seed, start })),
  );
  const labels = distinctLabels(penalties.map(({ name }) => name));
  return penalties.map(({ value, ...made }, i) => {
    const [label, { lambda, enters }] = [labels[i], sections[i]];
    const title = titleOf('regularizer', { ...made, name: label });
    return { ...made, label, title, regularizer: namedRegularizer(title, value), lambda, enters };
  });
}
