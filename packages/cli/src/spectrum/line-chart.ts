/** A curve, and the range behind it. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly range?: readonly (readonly [x: number, low: number, high: number])[];
}

/** Curves over one pair of axes, which begin at 0. */
export interface Panel {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
  /** Upright lines with their labels. */
  readonly marks?: readonly { readonly x: number; readonly label: string }[];
}

const [width, height] = [440, 300];
const plot = { left: 56, right: 424, top: 58, bottom: 252 };
const lineHeight = 14;

interface Palette {
  readonly ink: string;
  readonly paper: string;
  readonly rule: string;
  /** Of the series: colours that colour-blind people tell apart. */
  readonly series: readonly string[];
}

const light: Palette = {
  ink: '#222',
  paper: '#fff',
  rule: '#ddd',
  series: ['#0072b2', '#d55e00', '#007a5a', '#a3407f'],
};
const dark: Palette = {
  ink: '#ddd',
  paper: '#16181c',
  rule: '#3a3d42',
  series: ['#56b4e9', '#f0904c', '#3cc39a', '#e08cc0'],
};

const rules = ({ ink, paper, rule, series }: Palette) =>
  [
    `.paper { fill: ${paper} } text { fill: ${ink} } .grid { stroke: ${rule} } .axis, .mark { stroke: ${ink} }`,
    ...series.map(
      (colour, i) => `.fill${i} { fill: ${colour} } .curve${i} { stroke: ${colour}; fill: none }`,
    ),
  ].join('\n');

const style = `
text { font: 11px system-ui, sans-serif } .title { font-weight: 600; font-size: 12px }
.mark { stroke-dasharray: 3 3 } .curve { stroke-width: 1.6 } .range { opacity: 0.22 }
${rules(light)}
@media (prefers-color-scheme: dark) {
${rules(dark)}
}
`;

/** The panels, two a row, as an SVG document that is readable on light and dark paper. */
export function lineChart(title: string, panels: readonly Panel[]): string {
  const columns = Math.min(2, panels.length);
  const [w, h] = [columns * width, 30 + Math.ceil(panels.length / columns) * height];
  const drawn = panels.map((panel, i) => {
    const [x, y] = [(i % columns) * width, 30 + Math.floor(i / columns) * height];
    return `<g transform="translate(${x} ${y})">\n${drawPanel(panel)}\n</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${style}</style>`,
    `<rect class="paper" width="${w}" height="${h}"/>`,
    text(escaped(title), { x: 14, y: 22, class: 'title' }),
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function drawPanel({ title, x, y, series, marks = [] }: Panel): string {
  const all = series.flatMap(({ points, range = [] }) => [
    ...points,
    ...range.map(([at, , high]) => [at, high] as const),
  ]);
  const isWhole = all.every(([at]) => Number.isInteger(at));
  const xTicks = ticks(Math.max(...all.map(([at]) => at)), isWhole);
  const yTicks = ticks(Math.max(...all.map(([, value]) => value)));
  const across = (value: number) => round(plot.left + (value / xTicks.at(-1)!) * (plot.right - plot.left));
  const up = (value: number) => round(plot.bottom - (value / yTicks.at(-1)!) * (plot.bottom - plot.top));
  const path = (points: readonly (readonly [number, number])[]) =>
    points.map(([px, py]) => `${across(px)},${up(py)}`).join(' ');
  const middle = (plot.left + plot.right) / 2;
  return [
    text(escaped(title), { x: plot.left, y: 14, class: 'title' }),
    ...series.map(({ name }, i) => legend(name, i)),
    ...yTicks.flatMap((value) => [
      line('grid', plot.left, up(value), plot.right, up(value)),
      text(String(value), { x: plot.left - 6, y: up(value) + 4, 'text-anchor': 'end' }),
    ]),
    ...xTicks.map((value) =>
      text(String(value), { x: across(value), y: plot.bottom + 16, 'text-anchor': 'middle' }),
    ),
    line('axis', plot.left, plot.bottom, plot.right, plot.bottom),
    line('axis', plot.left, plot.top, plot.left, plot.bottom),
    text(escaped(x), { x: middle, y: plot.bottom + 34, 'text-anchor': 'middle' }),
    text(escaped(y), {
      transform: `translate(13 ${(plot.top + plot.bottom) / 2}) rotate(-90)`,
      'text-anchor': 'middle',
    }),
    ...series.flatMap(({ range = [] }, i) => {
      const low = range.map(([at, value]) => [at, value] as const);
      const high = range.map(([at, , value]) => [at, value] as const);
      if (range.length === 0) return [];
      return [`<polygon class="range fill${colourOf(i)}" points="${path([...low, ...high.reverse()])}"/>`];
    }),
    ...series.flatMap(({ points }, i) => {
      const colour = colourOf(i);
      const dots = points.length > 40 ? [] : points;
      return [
        `<polyline class="curve curve${colour}" points="${path(points)}"/>`,
        ...dots.map(
          ([px, py]) => `<circle class="fill${colour}" cx="${across(px)}" cy="${up(py)}" r="1.6"/>`,
        ),
      ];
    }),
    ...marks.flatMap((mark) => [
      line('mark', across(mark.x), plot.top, across(mark.x), plot.bottom),
      text(escaped(mark.label), { x: across(mark.x) + 4, y: plot.top + 10 }),
    ]),
  ].join('\n');
}

/** A series' name beside a piece of its colour, two a line. */
function legend(name: string, i: number): string {
  const [x, y] = [plot.left + (i % 2) * 184, 22 + Math.floor(i / 2) * lineHeight];
  return [
    `<rect class="fill${colourOf(i)}" x="${x}" y="${y + 2}" width="12" height="4"/>`,
    text(escaped(name), { x: x + 17, y: y + 8 }),
  ].join('\n');
}

const colourOf = (i: number) => i % light.series.length;

/** 0 and round numbers at equal distances, the last at or above `most`: 4 to 8 of them, or fewer whole ones. */
function ticks(most: number, isWhole = false): number[] {
  const end = most > 0 ? most : 1;
  const power = 10 ** Math.floor(Math.log10(end / 4));
  const steps = [1, 2, 2.5, 5, 10].map((factor) => factor * power);
  const step = steps.find((one) => end / one <= 6 && (!isWhole || Number.isInteger(one)))!;
  const count = Math.ceil(end / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(6)));
}

function text(content: string, attributes: Readonly<Record<string, string | number>>): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`);
  return `<text${written.join('')}>${content}</text>`;
}

function line(kind: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${kind}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
}

function escaped(words: string): string {
  return words.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

function round(value: number): number {
  return Math.round(100 * value) / 100;
}
