import { type Colour, css } from '../palette.ts';
import type { Chart } from './chart.ts';

export interface DriftOptions {
  readonly name: string;
  readonly title: string;
  /** Power relative to one that is spread evenly. */
  readonly lines: readonly { readonly step: number; readonly frequency: number; readonly power: number }[];
}

/** Where each class of powers begins, its name in the legend, and its colour. */
const classes: readonly (readonly [from: number, name: string, colour: Colour])[] = [
  [0, 'below ¼', 'less3'],
  [0.25, '¼ to ½', 'less2'],
  [0.5, '½ to 0.8', 'less1'],
  [0.8, '0.8 to 1.25', 'even'],
  [1.25, '1.25 to 2', 'more1'],
  [2, '2 to 4', 'more2'],
  [4, '4 and more', 'more3'],
];
/** Of an axis; by so much a cell reaches under the next, or seams show. */
const seam = 0.004;

/** Power by frequency, upwards, over the updates: blue has less than its share, orange more. */
export function driftChart({ name, title, lines }: DriftOptions): Chart | null {
  const steps = [...new Set(lines.map(({ step }) => step))];
  if (steps.length < 3) return null;
  const bands = new Set(lines.map(({ frequency }) => frequency)).size;
  const values = lines.map(({ step, frequency, power }) => {
    const i = steps.indexOf(step);
    const [before, after] = [steps[i - 1] ?? step, steps[i + 1] ?? step];
    return {
      x: (before + step) / 2,
      x2: (step + after) / 2 + seam * (steps.at(-1)! - steps[0]),
      y: frequency - 0.25 / bands,
      y2: frequency + 0.25 / bands + seam * 0.5,
      power: classes.findLast(([from]) => power >= from)![1],
    };
  });
  const spec = {
    height: 160,
    data: { values },
    mark: { type: 'rect', strokeWidth: 0 },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        title: 'updates',
        scale: { domain: [steps[0], steps.at(-1)], nice: false, clamp: true },
      },
      x2: { field: 'x2' },
      y: {
        field: 'y',
        type: 'quantitative',
        title: 'frequency, cycles an element',
        scale: { domain: [0, 0.5], nice: false, clamp: true },
      },
      y2: { field: 'y2' },
      color: {
        field: 'power',
        type: 'nominal',
        scale: {
          domain: classes.map(([, name]) => name),
          range: classes.map(([, , colour]) => css(colour)),
        },
        legend: { columns: 4, symbolType: 'square', symbolSize: 90, columnPadding: 8 },
      },
    },
  };
  const description = 'frequency in cycles an element by updates.';
  const caption = 'power relative to one that is spread evenly: blue less, orange more';
  return { name, title, description, caption, spec };
}
