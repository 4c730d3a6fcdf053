import { pText, signed, withUnit } from './amounts.ts';
import type { Conclusions, Contrast, Measure, StudyFigures } from './analysis.ts';
import type { StudyRecord } from './read-study.ts';

/** How a comparison ended: with p ≤ 0.05 after correction, or open. */
export type Verdict = 'better' | 'worse' | 'open';

/** What a contrast shows of its arm. */
export function verdictOf({ pHolm, difference }: Contrast, { lowerIsBetter }: Measure): Verdict {
  if (pHolm === null || pHolm > 0.05) return 'open';
  return difference.value < 0 === lowerIsBetter ? 'better' : 'worse';
}

/** What the other arm of a comparison with a control has. */
const controlWords = {
  unpenalized: 'no penalty',
  'matched-l2': 'an L2 penalty as strong',
  'permuted-frequencies': 'shuffled frequencies',
  'permuted-order': 'a shuffled order',
} as const;

/** What follows from a comparison with a control. */
const follows: Record<keyof typeof controlWords, Record<Verdict, string>> = {
  unpenalized: {
    better: 'the penalty helps here',
    worse: 'the penalty does harm here',
    open: 'whether the penalty does anything here is open',
  },
  'matched-l2': {
    better: 'it does better than shrinking all weights as strongly',
    worse: 'shrinking all weights as strongly does better',
    open: 'whether it does other than shrink weights is open',
  },
  'permuted-frequencies': {
    better: 'the frequencies that it weighs matter, and are better than shuffled ones',
    worse: 'the frequencies that it weighs matter, and shuffled ones are better',
    open: 'whether it matters which frequencies it weighs is open',
  },
  'permuted-order': {
    better: 'where a weight stands in its matrix matters, and does better than a shuffled order',
    worse: 'where a weight stands in its matrix matters, and a shuffled order does better',
    open: 'whether it matters where a weight stands is open',
  },
};

/** What follows from a study's figures and what does not; while it is not done, with that word before it. */
export function conclusionsOf(
  { runs }: Pick<StudyRecord, 'runs'>,
  { measures, contrasts, families }: StudyFigures,
): Conclusions {
  const only = (sentence: string): Conclusions => ({ overall: [sentence], armByArm: [] });
  if (contrasts.length === 0) return only('Nothing was compared, so nothing follows.');
  if (contrasts.every(({ p }) => p === null))
    return only('No comparison has two seeds: that another seed would give the same does not follow.');
  const undone = runs.filter(({ state }) => state !== 'done' && state !== 'dropped').length;
  const preliminary =
    undone > 0
      ? [`Preliminary: ${undone} of ${runs.length} runs are not done, so none of this is a conclusion yet.`]
      : [];
  const verdict = (contrast: Contrast) => verdictOf(contrast, measureOf(contrast, measures));
  const overall = families.flatMap(({ question, tested, text }) => {
    if (tested === 0) return [];
    const shown = contrasts.filter((one) => one.question === question && verdict(one) !== 'open').length;
    return tested === 1
      ? `The only comparison, ${text}, shows ${shown === 1 ? 'a' : 'no'} difference at 0.05.`
      : `Of ${tested} comparisons, ${text}, ${shown} ${shown === 1 ? 'shows' : 'show'} a difference at ` +
          `0.05 after Holm's correction for all ${tested}.`;
  });
  const groups = new Map<string, Contrast[]>();
  for (const one of contrasts) {
    if (one.p === null) continue;
    const about = one.question === 'base-model' ? '' : one.arm;
    const key = JSON.stringify([one.question, one.measure, about]);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const armByArm = [...groups.values()].map((group) => {
    const measure = measureOf(group[0], measures);
    return group[0].question === 'base-model' ? withBase(group, measure) : ofArm(group, measure);
  });
  return { overall: [...preliminary, ...overall], armByArm };
}

/** An arm on a measure, against its controls or a first level. */
function ofArm(group: readonly Contrast[], measure: Measure): string {
  const figures = group.map((one) => `${figuresOf(one, measure)} against ${otherOf(one)}`);
  const verdicts = group.map((one) => consequence(one, verdictOf(one, measure)));
  const open = group.filter((one) => verdictOf(one, measure) === 'open');
  const detectable = open.flatMap((one) => one.detectable ?? []);
  const power =
    detectable.length > 0
      ? ` Of what is open, a true difference of ${withUnit(Math.max(...detectable), measure)} would be found ` +
        'four times in five.'
      : '';
  const unit = measure.unit === 'share' ? 'points' : 'nats a token';
  return `${group[0].arm} on ${measure.name}, ${unit}: ${figures.join('; ')}. So ${verdicts.join('; ')}.${power}`;
}

function otherOf({ control, against }: Contrast): string {
  return control === null || control === 'base-model' ? against! : controlWords[control];
}

function consequence({ control, against }: Contrast, verdict: Verdict): string {
  if (control !== null && control !== 'base-model') return follows[control][verdict];
  return verdict === 'open'
    ? `whether it differs from ${against} is open`
    : `it is ${verdict} than ${against}`;
}

/** All arms on a measure against the model before any update. */
function withBase(group: readonly Contrast[], measure: Measure): string {
  const words: Record<Verdict, string> = { better: 'better', worse: 'worse', open: 'not shown to differ' };
  const lists = (['better', 'worse', 'open'] as const).flatMap((verdict) => {
    const arms = group.filter((one) => verdictOf(one, measure) === verdict);
    const names = arms.map((one) => `${one.arm} (${figuresOf(one, measure)})`);
    return names.length > 0 ? [`${words[verdict]}: ${names.join(', ')}`] : [];
  });
  return `Against the model before any update on ${measure.name}, ${lists.join('; ')}.`;
}

/** `−0.25, −0.39 to −0.11, p = 0.003`: the difference, its interval, and its corrected p. */
function figuresOf({ difference: { value, ci95 }, pHolm }: Contrast, measure: Measure): string {
  const interval = ci95!.map((end) => signed(end, measure)).join(' to ');
  return `${signed(value, measure)} [${interval}], ${pText(pHolm!)}`;
}

function measureOf({ measure }: Contrast, measures: readonly Measure[]): Measure {
  return measures.find(({ name }) => name === measure)!;
}
