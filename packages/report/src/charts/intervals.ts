import type { Estimate } from '@flex/study';
import { type Colour, css } from '../palette.ts';
import type { Chart } from './chart.ts';

/** An estimate with its interval, and the values that it is of. */
export interface IntervalRow {
  readonly label: string;
  readonly colour: Colour;
  readonly estimate: Estimate;
  readonly values: readonly number[];
  /** Whether its dot is a ring: what it says is open. */
  readonly isOpen?: boolean;
}

export interface IntervalsOptions {
  readonly name: string;
  readonly title: string;
  /** The measure with its unit. */
  readonly x: string;
  readonly rows: readonly IntervalRow[];
  /** A dashed line, where it lies among the rows. */
  readonly reference?: { readonly value: number; readonly label: string };
  /** Whether the reference is always in sight, as the 0 of differences is. */
  readonly withReference?: boolean;
  /** What values are multiplied by: 100 of shares in per cent. */
  readonly scale?: number;
}

const rowHeight = 34;

/** A row an estimate: a dot with its 95 % interval, and ticks for the values; its label stands above it. */
export function intervalsChart(options: IntervalsOptions): Chart | null {
  const { name, title, x, rows, reference, withReference = false, scale = 1 } = options;
  if (rows.length === 0) return null;
  const ids = rows.map((_, i) => String(i));
  const points = rows.map(({ label, colour, estimate: { value, ci95 }, isOpen = false }, i) => ({
    id: ids[i],
    label,
    colour: css(colour),
    fill: isOpen ? css('paper') : css(colour),
    value: scale * value,
    low: scale * (ci95?.[0] ?? value),
    high: scale * (ci95?.[1] ?? value),
  }));
  const ticks = rows.flatMap(({ values, colour }, i) =>
    values.map((value) => ({ id: ids[i], value: scale * value, colour: css(colour) })),
  );
  const all = [...points.flatMap(({ low, high }) => [low, high]), ...ticks.map(({ value }) => value)];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const margin = 0.04 * (most - least) || 0.01 * Math.abs(most) || 1;
  const at = reference && scale * reference.value;
  const isShown = at !== undefined && (withReference || (at >= least - margin && at <= most + margin));
  const domain = [
    Math.min(least, ...(isShown ? [at] : [])) - margin,
    Math.max(most, ...(isShown ? [at] : [])) + margin,
  ];
  const y = { field: 'id', type: 'nominal', scale: { domain: ids }, axis: null };
  const across = (field: string) => ({
    field,
    type: 'quantitative',
    title: x,
    scale: { domain, nice: false },
  });
  const color = { field: 'colour', type: 'nominal', scale: null };
  const layer = [
    ...(isShown
      ? [
          {
            data: { values: [{ at }] },
            mark: { type: 'rule', color: css('soft'), strokeDash: [4, 3] },
            encoding: { x: across('at') },
          },
        ]
      : []),
    // What is behind a label is covered by its outline.
    ...[{ stroke: css('paper'), strokeWidth: 4 }, { color: css('ink') }].map((mark) => ({
      data: { values: points },
      mark: { type: 'text', align: 'left', dy: -7, fontSize: 11, ...mark },
      encoding: { y, x: { value: 0 }, text: { field: 'label' } },
    })),
    {
      data: { values: points },
      mark: { type: 'rule', strokeWidth: 2, yOffset: 7 },
      encoding: { y, x: across('low'), x2: { field: 'high' }, color },
    },
    {
      data: { values: ticks },
      mark: { type: 'tick', thickness: 1.2, height: 9, size: 9, yOffset: 7, opacity: 0.8 },
      encoding: { y, x: across('value'), color },
    },
    {
      data: { values: points },
      mark: { type: 'point', size: 42, strokeWidth: 2, yOffset: 7, opacity: 1 },
      encoding: {
        y,
        x: across('value'),
        stroke: color,
        fill: { field: 'fill', type: 'nominal', scale: null },
      },
    },
  ];
  const hasIntervals = rows.some(({ estimate }) => estimate.ci95 !== null);
  const caption = [
    hasIntervals ? 'dot: mean, line: its 95 % interval' : 'dot: mean',
    ...(ticks.length > 0 ? ['ticks: seeds'] : []),
    ...(rows.some(({ isOpen }) => isOpen) ? ['ring: not shown to differ at 0.05 after correction'] : []),
    ...(isShown ? [`dashed: ${reference!.label}`] : []),
  ].join('; ');
  return {
    name,
    title,
    description: `${x}, of ${rows.map(({ label }) => label).join(', ')}.`,
    caption,
    spec: { height: rows.length * rowHeight, layer },
  };
}
