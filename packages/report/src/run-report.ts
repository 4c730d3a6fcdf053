import { join } from 'node:path';
import type { RunSummary } from '@flex/train';
import { differingKeys } from './differing-keys.ts';
import { significant } from './digits.ts';
import { seriesColours } from './palette.ts';
import { provenanceSection } from './provenance-section.ts';
import { type Block, type Cell, chartsOf, heading, type Section, tableOf } from './report.ts';
import { type NullBandOf, type RunSeries, runCharts, spectrumCharts } from './run-charts.ts';

/** A run by itself. */
export interface LoneRun {
  readonly name: string;
  readonly folder: string;
  /** Null where it has not ended. */
  readonly summary: RunSummary | null;
  metrics: RunSeries['runs'][number]['metrics'];
}

/** What a report tells of runs that are of no study, six to a chart. */
export async function runSections(
  runs: readonly LoneRun[],
  nullBandOf: NullBandOf | null,
): Promise<Section[]> {
  const most = seriesColours.length;
  const colourOf = (i: number) => seriesColours[i % most];
  const pieces = Array.from({ length: Math.ceil(runs.length / most) }, (_, i) =>
    runs
      .slice(i * most, (i + 1) * most)
      .map((run, place): RunSeries => ({ name: run.name, colour: colourOf(place), runs: [run] })),
  );
  const titleOf = (i: number) => `Runs ${i * most + 1} to ${Math.min(runs.length, (i + 1) * most)}`;
  const curves: Block[] = [];
  const spectra: Block[] = [];
  for (const [i, series] of pieces.entries()) {
    const headings = pieces.length > 1 ? [heading(titleOf(i))] : [];
    curves.push(...headings, ...chartsOf(runCharts(titleOf(i), series)));
    const charts = chartsOf(await spectrumCharts(titleOf(i), series, nullBandOf));
    if (charts.length > 0) spectra.push(...headings, ...charts);
  }
  const different = await differingKeys(
    runs.map(({ name, folder }) => ({ name, file: join(folder, 'config.yaml') })),
  );
  const sections: Section[] = [
    { title: 'Runs', blocks: [summaryTable(runs, colourOf), ...warningsOf(runs)] },
    { title: 'Curves', blocks: curves },
    { title: 'Spectra', blocks: spectra },
    { title: 'Differences of the configurations', blocks: different },
    provenanceSection(
      runs.flatMap(({ name, summary }) =>
        summary ? [{ name, provenance: summary.provenance ?? null }] : [],
      ),
      runs.flatMap(({ name, summary }) =>
        summary?.provenance ? [`${name}: ${summary.provenance.command.join(' ')}`] : [],
      ),
    ),
  ];
  return sections.filter(({ blocks }) => blocks.length > 0);
}

function summaryTable(
  runs: readonly LoneRun[],
  colourOf: (i: number) => (typeof seriesColours)[number],
): Block {
  const sets = [...new Set(runs.flatMap(({ summary }) => Object.keys(summary?.eval ?? {})))];
  const right = { align: 'right' as const };
  const number = (value: number | null | undefined) => (value == null ? '–' : significant(value));
  const rows = runs.map(({ name, summary }, i): Cell[] => [
    { text: name, colour: colourOf(i) },
    summary?.status ?? 'goes on, or was killed',
    summary ? String(summary.steps) : '–',
    number(summary?.loss.first),
    number(summary?.loss.last),
    ...sets.flatMap((set) => [number(summary?.eval[set]?.before), number(summary?.eval[set]?.after)]),
    summary ? String(summary.tokens) : '–',
    summary ? significant(summary.seconds, 3) : '–',
  ]);
  return tableOf(
    'Losses in nats a token; time is that of the updates alone',
    [
      { title: 'run' },
      { title: 'state' },
      { title: 'updates', ...right },
      { title: 'first loss', ...right },
      { title: 'last loss', ...right },
      ...sets.flatMap((set) => [
        { title: `${set}, before`, ...right },
        { title: `${set}, after`, ...right },
      ]),
      { title: 'tokens', ...right },
      { title: 'seconds', ...right },
    ],
    rows,
  );
}

function warningsOf(runs: readonly LoneRun[]): Block[] {
  const items = runs.flatMap(({ name, summary, metrics }) => [
    ...metrics().flatMap((line) => {
      const { warnings } = line as { warnings?: readonly string[] };
      return (warnings ?? []).map((warning) => `${name}, update ${line.step}: ${warning}`);
    }),
    ...(summary?.error === undefined ? [] : [`${name} failed: ${summary.error}`]),
    ...(summary?.stopped === undefined ? [] : [`${name} was stopped: ${summary.stopped}`]),
  ]);
  return items.length === 0 ? [] : [heading('What was found wrong'), { kind: 'list', items }];
}
