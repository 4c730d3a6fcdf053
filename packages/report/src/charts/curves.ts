import { type Colour, css } from '../palette.ts';
import type { Chart } from './chart.ts';

/** Curves that mean the same, such as those of an arm's seeds. */
export interface Series {
  readonly name: string;
  readonly colour: Colour;
  /** A line is drawn as its colour's, so that it is told without colours too. */
  readonly curves: readonly (readonly Point[])[];
}

export type Point = readonly [x: number, y: number];

export interface CurvesOptions {
  readonly name: string;
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
  /** Whether each point is marked, as few are. */
  readonly hasPoints?: boolean;
  /** What the band is of. */
  readonly bandOf?: string;
  /** Grey, behind the curves: what chance gives. */
  readonly band?: readonly (readonly [x: number, low: number, high: number])[];
}

const dashes: Partial<Record<Colour, number[]>> = {
  orange: [7, 2],
  green: [2, 2],
  purple: [7, 2, 2, 2],
  ochre: [11, 3],
  grey: [4, 3],
};

/** Points of a curve at most: more are drawn as means of as many neighbours each as it takes. */
const mostPoints = 75;

/**
 * Series over one pair of axes: each curve thin and, of several of a series, their mean thick, where all of
 * them have a value. The axis of y is logarithmic where its values differ thirtyfold. Null without a point.
 */
export function curvesChart(options: CurvesOptions): Chart | null {
  const { name, title, x, y, hasPoints = false, band = [], bandOf } = options;
  const series = options.series.filter(({ curves }) => curves.some((points) => points.length > 0));
  if (series.length === 0) return null;
  const longest = Math.max(...series.flatMap(({ curves }) => curves.map((points) => points.length)));
  const neighbours = Math.ceil(longest / mostPoints);
  const thin = series.flatMap(({ name: of, curves }) =>
    curves.flatMap((points, curve) =>
      binned(points, neighbours).map(([at, value]) => ({ series: of, curve, x: at, y: value })),
    ),
  );
  const thick = series.flatMap(({ name: of, curves }) =>
    meanOf(curves.map((points) => binned(points, neighbours))).map(([at, value]) => ({
      series: of,
      x: at,
      y: value,
    })),
  );
  const values = thin.map((point) => point.y);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const updates = new Set(thin.map((point) => point.x));
  // One point alone, or a flat line, gives an axis nothing to reach over.
  const onlyX = updates.size === 1 ? { domain: [0, Math.max(...updates) || 1] } : {};
  const margin = 0.05 * Math.abs(most) || 1;
  const flatY = least === most ? { domain: [least - margin, most + margin] } : {};
  const isLog = least > 0 && most / least > 30;
  const domain = series.map((one) => one.name);
  const legend =
    series.length === 1
      ? null
      : { columns: domain.some((word) => word.length > 22) ? 1 : 2, symbolType: 'stroke' };
  const encoding = {
    x: { field: 'x', type: 'quantitative', title: x, scale: { nice: false, ...onlyX } },
    y: {
      field: 'y',
      type: 'quantitative',
      title: neighbours > 1 ? `${y}; means of ${neighbours}` : y,
      scale: { type: isLog ? 'log' : 'linear', ...(isLog ? { nice: false } : { zero: false, ...flatY }) },
      ...(isLog && { axis: { format: '~g', values: powersOfTen(least, most) } }),
    },
    color: {
      field: 'series',
      type: 'nominal',
      scale: { domain, range: series.map(({ colour }) => css(colour)) },
      legend,
    },
    strokeDash: {
      field: 'series',
      type: 'nominal',
      scale: { domain, range: series.map(({ colour }) => dashes[colour] ?? [1, 0]) },
      legend,
    },
  };
  const isSeveral = series.some(({ curves }) => curves.length > 1);
  const layers = [
    ...(band.length > 0 ? [bandLayer(band)] : []),
    ...(isSeveral
      ? [
          {
            data: { values: thin },
            mark: { type: 'line', strokeWidth: 0.8, opacity: 0.45 },
            encoding: { ...encoding, detail: { field: 'curve', type: 'nominal' } },
          },
        ]
      : []),
    {
      data: { values: thick },
      mark: { type: 'line', strokeWidth: 2, ...(hasPoints && { point: { size: 18 } }) },
      encoding,
    },
  ];
  const caption = [
    ...(isSeveral ? ['thin: each seed, thick: their mean'] : []),
    ...(band.length > 0 ? [`shaded: the numbers of ${bandOf} in random order, 95 % of times`] : []),
  ].join('; ');
  const description = `${y} by ${x} of ${domain.join(', ')}.`;
  const spec = { height: 180, layer: layers };
  return { name, title, description, caption, spec };
}

function bandLayer(band: NonNullable<CurvesOptions['band']>): object {
  return {
    data: { values: band.map(([x, low, high]) => ({ x, low, high })) },
    mark: { type: 'area', color: css('band'), opacity: 0.6 },
    encoding: {
      x: { field: 'x', type: 'quantitative' },
      y: { field: 'low', type: 'quantitative' },
      y2: { field: 'high' },
    },
  };
}

/** Ticks of a logarithmic axis; with 3 and its like between them where they are few. */
function powersOfTen(least: number, most: number): number[] {
  const [first, last] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  const factors = last - first > 3 ? [1] : [1, 3];
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return powers.flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)));
}

/** Means of so many neighbours, the last of those that are left. */
function binned(points: readonly Point[], neighbours: number): readonly Point[] {
  if (neighbours === 1) return points;
  const count = Math.ceil(points.length / neighbours);
  return Array.from({ length: count }, (_, i) => {
    const piece = points.slice(i * neighbours, (i + 1) * neighbours);
    return [mean(piece.map(([x]) => x)), mean(piece.map(([, y]) => y))] as const;
  });
}

/** The mean of curves where all have a value. */
function meanOf(curves: readonly (readonly Point[])[]): Point[] {
  const begun = curves.filter((points) => points.length > 0).map((points) => new Map(points));
  if (begun.length === 0) return [];
  const shared = [...begun[0].keys()].filter((x) => begun.every((points) => points.has(x)));
  return shared.map((x) => [x, mean(begun.map((points) => points.get(x)!))]);
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
