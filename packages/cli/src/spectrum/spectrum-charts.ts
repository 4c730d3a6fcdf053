import type { FourierOptions, Spectrum } from '@flex/peft';
import type { SpectrumLine } from '@flex/train';
import { totalNames, totalsOf } from './adapter-spectra.ts';
import { lineChart, type Panel, type Series } from './line-chart.ts';
import { type NamedSpectra, sizeOf } from './spectrum-tables.ts';

/** Power by frequency of all A, B and s·B·A over the noise of permuted indices, and singular values. */
export function adapterChart(title: string, named: NamedSpectra, { threshold, n }: FourierOptions): string {
  const kinds = [
    ...new Set([...named.values()].flatMap((spectra) => totalsOf(spectra).map(([kind]) => kind))),
  ];
  const hasNoise = [...named.values()].some((spectra) => totalsOf(spectra).some(([, { noise }]) => noise));
  // T is a share of the bins, which end at half a cycle, or of the samples.
  const mark = { x: threshold * (n === 'bins' ? 0.5 : 1), label: 'T' };
  const panels = kinds.map((kind): Panel => {
    const series = [...named].flatMap(([of, spectra]) => {
      const found = totalsOf(spectra).find(([name]) => name === kind);
      return found ? [powerSeries(of, found[1])] : [];
    });
    return {
      title: `${totalNames[kind] ?? kind}, all modules${hasNoise ? ' (shaded: 95 % of noise)' : ''}`,
      x: 'frequency, cycles an element',
      y: 'power, 1 = spread evenly',
      series,
      marks: mark.x < 0.5 ? [mark] : [],
    };
  });
  return lineChart(title, [...panels, singularPanel(named)]);
}

/** Shares of power below the threshold, and the size of s·B·A, over the updates of a run. */
export function runChart(title: string, lines: readonly SpectrumLine[], threshold: number): string {
  const over = (name: string, of: (line: SpectrumLine) => number): Series => ({
    name,
    points: lines.map((line) => [line.step, of(line)]),
  });
  const totalOf = (kind: string, { totals }: SpectrumLine) => totals.find(({ name }) => name === kind)!;
  const kinds = lines[0].totals.map(({ name }) => name);
  // What is all zero, as B at the start, has no share.
  const shares = (kind: string): Series => ({
    name: totalNames[kind] ?? kind,
    points: lines
      .filter((line) => totalOf(kind, line).power > 0)
      .map((line) => [line.step, 100 * totalOf(kind, line).share_below]),
  });
  return lineChart(title, [
    {
      title: `Power below T = ${threshold} of the spectrum`,
      x: 'updates',
      y: 'share of the power, %',
      series: kinds.map(shares),
    },
    {
      title: 's·B·A of all modules',
      x: 'updates',
      y: 'size',
      series: [
        over('Frobenius norm', ({ products }) => sizeOf(products).norm),
        over('largest singular value', ({ products }) => sizeOf(products).largest),
      ],
    },
  ]);
}

function powerSeries(name: string, { bands, noise }: Spectrum): Series {
  const frequency = (i: number) => (0.5 * (i + 0.5)) / bands.length;
  const relative = (share: number) => share * bands.length;
  return {
    name,
    points: bands.map((share, i) => [frequency(i), relative(share)]),
    range: noise?.bands.map(([low, high], i) => [frequency(i), relative(low), relative(high)]),
  };
}

function singularPanel(named: NamedSpectra): Panel {
  const series = [...named].map(([name, { products }]): Series => {
    const all = [...products.singularValues.values()];
    const rank = Math.min(...all.map((values) => values.length));
    const ofIndex = Array.from({ length: rank }, (_, i) =>
      all.map((values) => values[i]).sort((x, y) => x - y),
    );
    return {
      name: `${name}, median`,
      points: ofIndex.map((values, i) => [i + 1, values[Math.floor((values.length - 1) / 2)]]),
      range: ofIndex.map((values, i) => [i + 1, values[0], values.at(-1)!]),
    };
  });
  const y = 'σ, as the weights';
  return { title: 'Singular values of s·B·A (shaded: all modules)', x: 'index', y, series };
}
