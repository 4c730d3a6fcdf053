import { lastName } from '@flex/base';
import { mergeSections, type Section } from '@flex/train';
import type { Reading, RoundMaterial, RoundPart, Rows } from './round.ts';
import { rate, rounds } from './rounds.ts';

const presets = { printed: 'paper', script: 'author-script', corrected: 'corrected' } as const;
const asRead = {
  printed: "as the paper's text reads",
  script: "as the paper's scripts do",
  corrected: 'corrected',
} as const;

/**
 * A round of the paper in a reading, as a study file would have it. Its claims are those of the paper, each
 * with the measure of the study that speaks to it; none is expected of the result.
 */
export function roundStudy(number: number, reading: Reading, material: RoundMaterial): Section {
  const round = rounds[number];
  const part = round.make(reading, material);
  const { base, factors, seeds, claims, notes } = part;
  return {
    title: `Round ${number}, ${asRead[reading]}: ${round.title}`,
    notes: [...material.notes, ...notes],
    base: mergeSections(sharedBase(reading, material), base),
    factors,
    seeds,
    evaluations: evaluationsOf(reading, material, part),
    claims: claims.map(({ measure, ...claim }) => ({
      ...claim,
      measure: measureOf(measure, part, reading, material),
    })),
  };
}

/** What all rounds share: the paper's Table 1, on what there is. */
function sharedBase(reading: Reading, material: RoundMaterial): Section {
  const { model, isMicro, mbpp, java } = material;
  const isPrinted = reading === 'printed';
  return {
    preset: presets[reading],
    model,
    data: {
      ...(isPrinted ? mbpp.all : mbpp.train),
      max_length: 512,
      // The scripts of MBPP take one row at a time, in the order of the file: nothing is filled up.
      ...(reading === 'script' && {
        loss_on: 'all',
        shuffle: false,
        template: { prompt: '{text}\n\n# {test}\n\n', completion: '{code}' },
      }),
    },
    eval: [isPrinted ? mbpp.elsewhere : mbpp.heldOut, java],
    lora: { rank: 8, alpha: 16, dropout: 0.05 },
    optimizer: { name: 'adamw', lr: rate(material, 2e-4), weight_decay: 0.01 },
    train: {
      batch_size: 4,
      epochs: 3,
      max_grad_norm: 1,
      eval_every: isMicro ? 20 : 100,
      save_every: isMicro ? 0 : 100,
      keep_checkpoints: 1,
    },
  };
}

/** How the benchmarks are decoded, each reading in its way. */
function evaluationsOf(reading: Reading, { benchmarks }: RoundMaterial, { isMerged }: RoundPart): Section[] {
  if (benchmarks === null) return [];
  const isScript = reading === 'script';
  const each: Section[] = [
    {
      name: 'humaneval',
      benchmark: 'humaneval',
      data: benchmarks.humanEval,
      ...(isScript && { num_beams: 8, truncate: 'blank-line', max_new_tokens: 256 }),
    },
    {
      name: 'java',
      benchmark: 'multipl-e:java',
      data: benchmarks.java,
      ...(isScript && { n: 10, temperature: 0.2, top_p: 0.95 }),
    },
  ];
  const folded = each.map((one) => ({ ...one, name: `${one.name}-merged`, merged: true }));
  return isMerged ? [...each, ...folded] : each;
}

function measureOf(
  measure: RoundPart['claims'][number]['measure'],
  { base }: RoundPart,
  reading: Reading,
  { benchmarks, mbpp, java }: RoundMaterial,
): string {
  const [language, merged] = measure.split('-');
  if (benchmarks !== null) {
    const name = language === 'python' ? 'humaneval' : 'java';
    return `${merged ? `${name}-merged` : name} pass@1`;
  }
  if (language === 'java') return nameOf(java);
  const [own] = (base.eval as Rows[] | undefined) ?? [];
  return nameOf(own ?? (reading === 'printed' ? mbpp.elsewhere : mbpp.heldOut));
}

/** What a held-out set goes by in a run's records. */
const nameOf = ({ source, split }: Rows) => `${lastName(source)} ${split}`;
