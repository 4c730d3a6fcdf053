import { basename, join } from 'node:path';
import {
  type ArmRecord,
  type Contrast,
  configFileOf,
  type Estimate,
  type Measure,
  measureClaims,
  type Question,
  type StudyAnalysis,
  type StudyRecord,
  verdictOf,
} from '@flex/study';
import { armColours, armGroups, controlLabel } from './arm-groups.ts';
import type { Chart } from './charts/chart.ts';
import { intervalsChart } from './charts/intervals.ts';
import { differingKeys } from './differing-keys.ts';
import { differenceText, estimateText, probabilityText } from './digits.ts';
import { evaluationBlocks, type NamedResults } from './evaluation-report.ts';
import type { Colour } from './palette.ts';
import { provenanceSection } from './provenance-section.ts';
import {
  anchorOf,
  type Block,
  type Cell,
  chartsOf,
  heading,
  paragraph,
  type Section,
  tableOf,
} from './report.ts';
import { type NullBandOf, runCharts, spectrumCharts } from './run-charts.ts';

/** What a report tells of a study. */
export async function studySections(
  record: StudyRecord,
  analysis: StudyAnalysis,
  nullBandOf: NullBandOf | null,
): Promise<Section[]> {
  const groups = armGroups(record.arms);
  const colours = armColours(groups);
  const series = groups.map(({ title, members }) => ({
    title,
    series: members.map(({ arm, label, colour }) => ({
      name: label,
      colour,
      runs: record.runs.filter((run) => run.arm === arm),
    })),
  }));
  const curves = series.flatMap(({ title, series }): Block[] => {
    const charts = chartsOf(runCharts(title, series));
    return charts.length === 0 ? [] : [heading(title), ...charts];
  });
  const spectra: Block[] = [];
  for (const { title, series: own } of series) {
    const charts = chartsOf(await spectrumCharts(title, own, nullBandOf));
    if (charts.length > 0) spectra.push(heading(title), ...charts);
  }
  const sections: Section[] = [
    { title: 'What follows', blocks: followsOf(record, analysis) },
    { title: 'Claims', blocks: claimsOf(record, analysis) },
    { title: 'Arms', blocks: armsOf(record, analysis, colours) },
    { title: 'Comparisons', blocks: comparisonsOf(analysis, colours) },
    { title: 'Curves', blocks: curves },
    { title: 'Spectra', blocks: spectra },
    { title: 'Evaluations', blocks: evaluationsOf(record) },
    { title: 'Differences of the configurations', blocks: await configurationsOf(record) },
    { title: 'Runs', blocks: runsOf(record) },
    studyProvenance(record),
  ];
  return sections.filter(({ blocks }) => blocks.length > 0);
}

/** What there is of a study, in a sentence. */
export function studySummary({ manifest, runs, arms }: StudyRecord): string[] {
  const done = runs.filter(({ state }) => state === 'done').length;
  const failed = runs.filter(({ state }) => state === 'failed').length;
  const lost = failed > 0 ? `, ${failed} failed` : '';
  return [
    `${arms.length} ${arms.length === 1 ? 'arm' : 'arms'} × ${manifest.seeds.length} ` +
      `${manifest.seeds.length === 1 ? 'seed' : 'seeds'} on ${basename(manifest.model)}: ` +
      `${done} of ${runs.length} runs are done${lost}.`,
    ...manifest.notes,
  ];
}

function followsOf({ manifest }: StudyRecord, { conclusions, caveats }: StudyAnalysis): Block[] {
  const off = Object.entries(manifest.off).map(
    ([name, why]) => `The control ${name} was switched off: ${why}`,
  );
  const limits = [...caveats, ...off.filter((line) => !caveats.some((caveat) => caveat.includes(line)))];
  const { overall, armByArm } = conclusions;
  return [
    { kind: 'list', items: overall },
    ...(limits.length > 0 ? [heading('What limits it'), { kind: 'list' as const, items: limits }] : []),
    ...(armByArm.length > 0 ? [heading('One by one'), { kind: 'list' as const, items: armByArm }] : []),
  ];
}

/** What was said elsewhere, beside what was measured here. */
function claimsOf({ manifest: { claims } }: StudyRecord, analysis: StudyAnalysis): Block[] {
  if (claims.length === 0) return [];
  const rows = measureClaims(claims, analysis).map((claim) => {
    const { text, figure, source, arm, against, measure, unit, mean, other, difference } = claim;
    const shown = unit ?? 'nats';
    return [
      text,
      `${figure} (${source})`,
      `${arm} on ${measure}`,
      mean ? estimateText(mean, shown) : 'not measured',
      against === undefined || other === null
        ? '–'
        : `${against}: ${estimateText({ value: other, ci95: null }, shown)}`,
      difference ? differenceText(difference, shown) : '–',
    ];
  });
  const columns = ['claim', 'as it was given', 'measured here', 'mean', 'against', 'difference'];
  return [
    tableOf(
      'What was claimed, and what this study measured: shares in per cent, losses in nats a token',
      columns.map((title) => ({ title })),
      rows,
    ),
  ];
}

function armsOf(
  { arms, runs }: StudyRecord,
  { measures, arms: results, base }: StudyAnalysis,
  colours: ReadonlyMap<string, Colour>,
): Block[] {
  const baseOf = ({ name }: Measure) => base.find(({ measure }) => measure === name)?.value;
  const charts = measures.map((measure): Chart | null => {
    const start = baseOf(measure);
    return intervalsChart({
      name: anchorOf(`arms ${measure.name}`),
      title: `${measureTitle(measure)}, by arm`,
      x: axisOf(measure),
      scale: scaleOf(measure),
      rows: results
        .filter((result) => result.measure === measure.name)
        .map(({ arm, mean, bySeed }) => ({
          label: arm,
          colour: colours.get(arm)!,
          estimate: mean,
          values: bySeed.map(({ value }) => value),
        })),
      ...(start !== undefined && { reference: { value: start, label: 'the base model' } }),
    });
  });
  const rows = arms.map(({ name }): Cell[] => {
    const own = runs.filter((run) => run.arm === name);
    const done = own.filter(({ state }) => state === 'done').length;
    const cells = measures.map((measure) => {
      const result = results.find((one) => one.arm === name && one.measure === measure.name);
      return result ? estimateText(result.mean, measure.unit) : '–';
    });
    return [{ text: name, colour: colours.get(name)! }, ...cells, `${done} of ${own.length}`];
  });
  const atStart = measures.map((measure) => {
    const value = baseOf(measure);
    return value === undefined ? '–' : estimateText({ value, ci95: null }, measure.unit);
  });
  const columns = [
    { title: 'arm' },
    ...measures.map((measure) => ({
      title: `${measureTitle(measure)}, ${unitOf(measure)}`,
      align: 'right' as const,
    })),
    { title: 'runs done', align: 'right' as const },
  ];
  if (results.length === 0) return [paragraph('No run is done yet.')];
  return [
    ...chartsOf(charts),
    tableOf('Means over seeds, from two on with their 95 % intervals', columns, [
      ...rows,
      ['base model, before any update', ...atStart, ''],
    ]),
  ];
}

const questionTitles: Readonly<Record<Question, string>> = {
  controls: 'Against the controls',
  levels: 'Between levels',
  'base-model': 'Against the base model',
};

function comparisonsOf(
  { families, contrasts, measures }: StudyAnalysis,
  colours: ReadonlyMap<string, Colour>,
): Block[] {
  return families.flatMap(({ question, text, comparisons, tested }): Block[] => {
    const own = contrasts.filter((contrast) => contrast.question === question);
    const charts = measures.map((measure) =>
      intervalsChart({
        name: anchorOf(`${question} ${measure.name}`),
        title: `${measureTitle(measure)}: differences`,
        x: `arm less the other, ${differenceUnit(measure)}; below 0: ${measure.lowerIsBetter ? 'better' : 'worse'}`,
        scale: scaleOf(measure),
        rows: own
          .filter((contrast) => contrast.measure === measure.name)
          .map((contrast) => ({
            label: contrastLabel(contrast),
            colour: colourOf(contrast, colours),
            estimate: contrast.difference,
            values: contrast.bySeed.map(({ value }) => value),
            isOpen: verdictOf(contrast, measure) === 'open',
          })),
        reference: { value: 0, label: 'no difference' },
        withReference: true,
      }),
    );
    const table = contrastTable(own, measures, `All ${comparisons} comparisons: ${text}`);
    const isMain = question === 'controls' || families.length === 1;
    const corrected =
      tested === 0
        ? 'none of them has two seeds, and so a p'
        : `p is corrected by Holm for all ${tested === comparisons ? 'of them' : `${tested} that have two seeds`} together`;
    const said = paragraph(`${comparisons} comparisons, ${text}; ${corrected}.`);
    const shown: Block[] = [...chartsOf(charts), table];
    return isMain
      ? [heading(questionTitles[question]), said, ...shown]
      : [{ kind: 'folded', summary: questionTitles[question], blocks: [said, ...shown] }];
  });
}

function contrastTable(contrasts: readonly Contrast[], measures: readonly Measure[], caption: string): Block {
  const right = { align: 'right' as const };
  const columns = [
    { title: 'arm less the other' },
    { title: 'measure' },
    { title: 'difference [95 % interval]', ...right },
    { title: 'p', ...right },
    { title: 'p, Holm', ...right },
    { title: 'detectable', ...right },
  ];
  const rows = contrasts.map((contrast) => {
    const measure = measures.find(({ name }) => name === contrast.measure)!;
    const { difference, p, pHolm, detectable } = contrast;
    return [
      contrastLabel(contrast),
      `${measure.name}, ${differenceUnit(measure)}`,
      differenceText(difference, measure.unit),
      probabilityText(p),
      probabilityText(pHolm),
      detectable === null ? '–' : detectableText(detectable, difference, measure),
    ];
  });
  const note = 'detectable: the smallest true difference that a study like this finds 80 % of times';
  return tableOf(`${caption}; ${note}`, columns, rows);
}

/** As many digits as the difference that it is beside. */
function detectableText(detectable: number, { ci95 }: Estimate, measure: Measure): string {
  const width = ci95 === null ? null : ([detectable, detectable + (ci95[1] - ci95[0])] as const);
  return estimateText({ value: detectable, ci95: width }, measure.unit).replace(/ (%|\[).*/, '');
}

function contrastLabel({ arm, against, control }: Contrast): string {
  if (against === null) return `${arm} − base model`;
  const isKind = control !== null && control !== 'base-model';
  return `${arm} − ${isKind ? controlLabel(control) : against}`;
}

/** That of the control, as the arm itself is in all rows. */
function colourOf({ arm, against }: Contrast, colours: ReadonlyMap<string, Colour>): Colour {
  return colours.get(against ?? arm)!;
}

const measureTitle = ({ name, kind }: Measure) =>
  kind === 'held-out-loss' ? `Held-out loss, ${name}` : name;
const unitOf = ({ unit }: Measure) => (unit === 'nats' ? 'nats a token' : '%');
const differenceUnit = ({ unit }: Measure) => (unit === 'nats' ? 'nats a token' : 'points');
const scaleOf = ({ unit }: Measure) => (unit === 'nats' ? 1 : 100);
const axisOf = (measure: Measure) =>
  `${unitOf(measure)}; ${measure.lowerIsBetter ? 'less' : 'more'} is better`;

function evaluationsOf({ manifest, runs, base, arms }: StudyRecord): Block[] {
  return manifest.evaluations.flatMap(({ name }) => {
    const start = base.results(name);
    const named: NamedResults[] = [
      ...(start === null ? [] : [{ name: 'base model', results: start }]),
      ...runs.flatMap((run) => {
        const results = run.results(name);
        return results === null ? [] : [{ name: run.name, results }];
      }),
    ];
    const pairs = runs.flatMap(({ arm, seed, name: run }) =>
      arms.filter(isControlOf(arm)).map((control) => [`${control.name}/seed-${seed}`, run] as const),
    );
    return named.length === 0 ? [] : [heading(name), ...evaluationBlocks(named, pairs)];
  });
}

const isControlOf = (arm: string) => (other: ArmRecord) => other.controls.some(({ of }) => of === arm);

/** Of the runs of the first seed: what differs by seed alone is not an arm's. */
function configurationsOf({ folder, arms, runs }: StudyRecord): Promise<Block[]> {
  return differingKeys(
    arms.flatMap(({ name }) => {
      const first = runs.find((run) => run.arm === name);
      return first ? [{ name, file: join(folder, configFileOf(first.name)) }] : [];
    }),
  );
}

function runsOf({ manifest: { seeds }, arms, runs }: StudyRecord): Block[] {
  const stateOf = (arm: string, seed: number) => {
    const run = runs.find((one) => one.arm === arm && one.seed === seed);
    if (run === undefined) return '–';
    return run.summary ? `${run.state}, ${run.summary.steps} updates` : run.state;
  };
  const columns = [{ title: 'arm' }, ...seeds.map((seed) => ({ title: `seed ${seed}` }))];
  const rows = arms.map(({ name }) => [name, ...seeds.map((seed) => stateOf(name, seed))]);
  const failures = runs.flatMap(({ name, failure }) => (failure ? [[name, failure.error, failure.at]] : []));
  const failed = tableOf(
    'What failed, and why',
    [{ title: 'run' }, { title: 'error' }, { title: 'when, UTC' }],
    failures,
  );
  return [tableOf('How far each run is', columns, rows), ...(failures.length > 0 ? [failed] : [])];
}

function studyProvenance({ manifest, runs, folder }: StudyRecord): Section {
  const records = runs.flatMap(({ name, summary }) =>
    summary ? [{ name, provenance: summary.provenance ?? null }] : [],
  );
  const commands = manifest.history.map(
    ({ at, command, runs: count }) =>
      `${at.slice(0, 16).replace('T', ' ')} UTC, ${count} runs: ${command.join(' ')}`,
  );
  return provenanceSection(records, [`study ${basename(folder)}, digest ${manifest.digest}`, ...commands]);
}
