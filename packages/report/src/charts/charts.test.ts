import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { light } from '../palette.ts';
import { type Chart, chartWidth, drawChart, pngOf, standalone } from './chart.ts';
import { curvesChart, type Point, type Series } from './curves.ts';
import { driftChart } from './drift.ts';
import { intervalsChart } from './intervals.ts';

const names = { name: 'loss', title: 'Held-out loss <b> & /home/me/x/y', x: 'updates', y: 'nats a token' };
const line = (name: string, ...curves: Point[][]): Series => ({ name, colour: 'blue', curves });
const rising: Point[] = [
  [0, 1],
  [1, 2],
  [2, 4],
];

/** What a layer of a chart draws. */
function valuesOf(chart: Chart | null, layer: number): Record<string, number>[] {
  const { layer: layers } = chart!.spec as unknown as {
    layer: { data: { values: Record<string, number>[] } }[];
  };
  return layers.at(layer)!.data.values;
}

describe('curves', () => {
  test('the thick one is the mean where all have a value', () => {
    const chart = curvesChart({
      ...names,
      series: [
        line('arm', rising, [
          [0, 3],
          [2, 0],
        ]),
      ],
    });
    expect(valuesOf(chart, -1)).toEqual([
      { series: 'arm', x: 0, y: 2 },
      { series: 'arm', x: 2, y: 2 },
    ]);
    expect(valuesOf(chart, 0)).toHaveLength(5);
  });

  test('many points are drawn as means that keep the mean, and the axis says of how many', () => {
    const many = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 76, maxLength: 400 });
    fc.assert(
      fc.property(many, (all) => {
        const whole = all.slice(0, all.length - (all.length % Math.ceil(all.length / 75)));
        const neighbours = Math.ceil(whole.length / 75);
        fc.pre(whole.length % neighbours === 0 && neighbours > 1);
        const chart = curvesChart({
          ...names,
          series: [
            line(
              'run',
              whole.map((y, x) => [x, y]),
            ),
          ],
        });
        const drawn = valuesOf(chart, -1).map(({ y }) => y);
        expect(drawn.length).toBeLessThanOrEqual(75);
        const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
        expect(mean(drawn)).toBeCloseTo(mean(whole), 9);
        expect(JSON.stringify(chart!.spec)).toContain(`nats a token; means of ${neighbours}"`);
      }),
      { numRuns: 30 },
    );
  });

  test('none without a point', () => {
    expect(curvesChart({ ...names, series: [line('arm', []), line('other')] })).toBeNull();
  });

  test('one point alone has axes with readable numbers, and a flat line too', async () => {
    for (const points of [
      [[20, 50.2894]],
      [[20, 0]],
      [
        [0, 3],
        [9, 3],
      ],
    ] as Point[][]) {
      const drawn = await drawChart(curvesChart({ ...names, series: [line('arm', points)] })!);
      const ticks = [...drawn.matchAll(/>(−?[\d.]+)</g)].map(([, tick]) => tick);
      expect(ticks.length).toBeGreaterThan(4);
      for (const tick of ticks) expect(tick.length).toBeLessThan(6);
    }
  });

  test('an axis is logarithmic for values that differ thirtyfold, and never with 0', async () => {
    const of = async (...values: number[]) => {
      const points = values.map((y, x): Point => [x, y]);
      const chart = curvesChart({ ...names, series: [line('arm', points)] })!;
      await drawChart(chart);
      return JSON.stringify(chart.spec).includes('"log"');
    };
    expect(await of(0.1, 2, 4)).toBe(true);
    expect(await of(1, 2, 4)).toBe(false);
    expect(await of(0, 2, 4)).toBe(false);
    expect(await of(-1, 2, 100)).toBe(false);
  });
});

describe('a drawing', () => {
  const chart = curvesChart({
    ...names,
    series: [line('arm', rising), { ...line('other', rising), colour: 'grey' }],
  })!;

  test('is as wide as all, has its axes with units, and its title without markup or paths', async () => {
    const svg = await drawChart(chart);
    expect(svg).toMatch(new RegExp(`^<svg [^>]*width="${chartWidth}" `));
    for (const text of ['>nats a token<', '>updates<', '>arm<', '>other<']) expect(svg).toContain(text);
    expect(svg).toContain('aria-label="Held-out loss &lt;b&gt; &amp; …/x/y: ');
    expect(svg).not.toContain('/home');
    expect(svg).not.toContain('<b>');
  });

  test('has no colour but the palette, so that dark and light are the page', async () => {
    const colours = [...(await drawChart(chart)).matchAll(/(?:fill|stroke)="([^"]+)"/g)].map(
      ([, colour]) => colour,
    );
    const known = [...Object.keys(light).map((name) => `var(--${name})`), 'none', 'transparent'];
    expect(colours.length).toBeGreaterThan(5);
    expect(colours.filter((colour) => !known.includes(colour))).toEqual([]);
  });

  test('by itself knows both palettes, and is a PNG of twice the pixels', async () => {
    const svg = await drawChart(chart);
    expect(standalone(svg)).toContain('prefers-color-scheme:dark');
    const png = Buffer.from(await pngOf(svg));
    expect([png.subarray(1, 4).toString(), png.readUInt32BE(16)]).toEqual(['PNG', 2 * chartWidth]);
  });

  test('has every curve within its axes', async () => {
    const svg = await drawChart(chart);
    const [, path] = /<path d="(M[^"]+)" stroke="var\(--blue\)"/.exec(svg)!;
    const numbers = path.match(/-?[\d.]+/g)!.map(Number);
    expect(numbers).toHaveLength(6);
    for (const number of numbers) expect(number).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(chartWidth);
  });
});

describe('intervals', () => {
  const row = (value: number, ci95: [number, number] | null) => ({
    label: `arm ${value}`,
    colour: 'blue' as const,
    estimate: { value, ci95 },
    values: [value],
  });

  test('of shares are in per cent, and nothing lies outside of the axis', () => {
    const rows = [row(0.3, [0.2, 0.45]), row(0.35, null)];
    const chart = intervalsChart({ name: 'n', title: 't', x: 'pass@1, %', rows, scale: 100 });
    const { layer } = chart!.spec as unknown as {
      layer: {
        data: { values: { low: number; high: number }[] };
        encoding: { x: { scale?: { domain: number[] } } };
      }[];
    };
    const whiskers = layer.find(({ data: { values } }) => 'low' in values[0])!;
    expect(whiskers.data.values.map(({ low, high }) => [low, high])).toEqual([
      [20, 45],
      [35, 35],
    ]);
    const [least, most] = layer.at(-1)!.encoding.x.scale!.domain;
    expect([least < 20, most > 45]).toEqual([true, true]);
  });

  test('a reference far away is left out and not told of, but the 0 of differences never', () => {
    const rows = [row(1.8, [1.7, 1.9])];
    const reference = { value: 2.6, label: 'the base model' };
    const options = { name: 'n', title: 't', x: 'nats', rows, reference };
    expect(intervalsChart(options)!.caption).not.toContain('the base model');
    expect(intervalsChart({ ...options, withReference: true })!.caption).toContain('dashed: the base model');
    expect(intervalsChart({ ...options, rows: [row(2.5, [2, 3])] })!.caption).toContain('the base model');
  });
});

test('a spectrum over time has each of its lines, at its own update too', async () => {
  const steps = [0, 100, 400];
  const lines = steps.flatMap((step) => [0.125, 0.375].map((frequency) => ({ step, frequency, power: 1 })));
  const chart = driftChart({ name: 'n', title: 't', lines })!;
  const { values } = (chart.spec as unknown as { data: { values: { x: number; x2: number }[] } }).data;
  for (const step of steps) expect(values.filter(({ x, x2 }) => x <= step && step <= x2)).toHaveLength(2);
  const drawn = await drawChart(chart);
  expect(drawn.split('fill="var(--even)"').length - 1).toBeGreaterThanOrEqual(6);
  for (const name of ['below ¼', '0.8 to 1.25', '4 and more']) expect(drawn).toContain(`>${name}<`);
  expect(driftChart({ name: 'n', title: 't', lines: lines.slice(0, 4) })).toBeNull();
});
