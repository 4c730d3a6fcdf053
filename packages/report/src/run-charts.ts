import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type MetricsLine, readSpectra, type SpectrumLine, spectrumFile } from '@flex/train';
import type { Chart } from './charts/chart.ts';
import { curvesChart, type Point, type Series } from './charts/curves.ts';
import { driftChart } from './charts/drift.ts';
import type { Colour } from './palette.ts';
import { anchorOf } from './report.ts';

/** Runs that are drawn as one series: the seeds of an arm, or a run alone. */
export interface RunSeries {
  readonly name: string;
  readonly colour: Colour;
  readonly runs: readonly { readonly folder: string; metrics(): MetricsLine[] }[];
}

/** A 95 % interval of each band's share of the power by the tensors of the total, `A` or `B`. */
export type NullBands = ReadonlyMap<string, readonly (readonly [low: number, high: number])[]>;

/** Draws what an order that means nothing has, for the adapter of a run; null where it cannot. */
export type NullBandOf = (run: string) => Promise<NullBands | null>;

/** Held-out losses, loss, penalty and gradient norm of runs over their updates. */
export function runCharts(group: string, series: readonly RunSeries[]): (Chart | null)[] {
  const read = series.map(({ runs, ...rest }) => ({ ...rest, lines: runs.map((run) => run.metrics()) }));
  const chart = (title: string, y: string, of: (line: MetricsLine) => unknown, hasPoints = false) =>
    curvesChart({
      name: anchorOf(`${group} ${title}`),
      title,
      x: 'updates',
      y,
      hasPoints,
      series: read.map(
        ({ name, colour, lines }): Series => ({
          name,
          colour,
          curves: lines.map((run) => pointsOf(run, of)),
        }),
      ),
    });
  const lines = read.flatMap((one) => one.lines.flat());
  const sets = [...new Set(lines.flatMap((line) => Object.keys(evalOf(line))))];
  const isPenalized = lines.some((line) => Number(weightedPenalty(line)) > 0);
  return [
    ...sets.map((set) => chart(`Held-out loss, ${set}`, 'nats a token', (line) => evalOf(line)[set], true)),
    chart('Training loss, before the update', 'nats a token', columnOf('loss')),
    isPenalized ? chart('Penalty λL', 'as the loss, nats', weightedPenalty) : null,
    chart('Norm of the gradient, before clipping', '‖g‖', columnOf('grad_norm')),
  ];
}

/** Shares of low frequencies over the updates, and the spectrum at the end against what chance gives. */
export async function spectrumCharts(
  group: string,
  series: readonly RunSeries[],
  nullBandOf: NullBandOf | null,
): Promise<(Chart | null)[]> {
  const read = series.map(({ runs, ...rest }) => ({
    ...rest,
    spectra: runs.map(({ folder }) => spectraIn(folder)),
  }));
  const first = series[0].runs.find(({ folder }) => spectraIn(folder).length > 0)?.folder;
  if (first === undefined) return [];
  const bands = await nullBandOf?.(first);
  const oneOf = `${series[0].name}${series[0].runs.length > 1 ? ', one seed' : ''}`;
  return ['A', 'B'].flatMap((tensors) => {
    const over = read.map(({ name, colour, spectra }) => ({
      name,
      colour,
      curves: spectra.map((lines) => lines.flatMap((line) => sharePoint(line, tensors))),
    }));
    const final = read.map(({ name, colour, spectra }) => ({
      name,
      colour,
      curves: spectra.flatMap((lines) => (lines.length > 0 ? [spectrumPoints(lines.at(-1)!, tensors)] : [])),
    }));
    const noise = bands?.get(tensors);
    return [
      curvesChart({
        name: anchorOf(`${group} low frequencies of ${tensors}`),
        title: `Power of all ${tensors} below the threshold`,
        x: 'updates',
        y: 'share of the power, %',
        series: over,
        hasPoints: true,
      }),
      curvesChart({
        name: anchorOf(`${group} spectrum of ${tensors}`),
        title: `Spectrum of all ${tensors} at the end`,
        x: 'frequency, cycles an element',
        y: 'power, 1 = spread evenly',
        series: final,
        bandOf: oneOf,
        band: noise?.map(([low, high], i) => [
          frequency(i, noise.length),
          low * noise.length,
          high * noise.length,
        ]),
      }),
      driftChart({
        name: anchorOf(`${group} spectra of ${tensors} over time`),
        title: `Spectrum of all ${tensors} over time, ${oneOf}`,
        lines: spectraIn(first).flatMap((line) =>
          spectrumPoints(line, tensors).map(([at, power]) => ({ step: line.step, frequency: at, power })),
        ),
      }),
    ];
  });
}

function spectraIn(folder: string): SpectrumLine[] {
  const file = join(folder, spectrumFile);
  return existsSync(file) ? readSpectra(file) : [];
}

const totalIn = ({ totals }: SpectrumLine, tensors: string) =>
  totals.find(({ name, power }) => name === tensors && power > 0);

/** In per cent; none of what is all zero, as B is at first. */
function sharePoint(line: SpectrumLine, tensors: string): Point[] {
  const total = totalIn(line, tensors);
  return total ? [[line.step, 100 * total.share_below]] : [];
}

function spectrumPoints(line: SpectrumLine, tensors: string): Point[] {
  const bands = totalIn(line, tensors)?.bands ?? [];
  return bands.map((share, i) => [frequency(i, bands.length), share * bands.length]);
}

/** The middle of a band. */
const frequency = (i: number, bands: number) => (0.5 * (i + 0.5)) / bands;

function pointsOf(lines: readonly MetricsLine[], of: (line: MetricsLine) => unknown): Point[] {
  return lines.flatMap((line): Point[] => {
    const value = of(line);
    return typeof value === 'number' ? [[line.step, value]] : [];
  });
}

type Columns = Readonly<Record<string, unknown>>;

const columnOf = (name: string) => (line: MetricsLine) => (line as unknown as Columns)[name];

function evalOf(line: MetricsLine): Columns {
  return (columnOf('eval')(line) ?? {}) as Columns;
}

/** λL of all regularizers; undefined where a line has none. */
function weightedPenalty(line: MetricsLine): number | undefined {
  const values = Object.entries(line).flatMap(([key, value]) =>
    key.startsWith('weighted_penalty.') && typeof value === 'number' ? [value] : [],
  );
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value);
}
