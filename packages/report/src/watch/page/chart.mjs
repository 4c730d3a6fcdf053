/**
 * @import { ArmStyle } from './arm-style.mjs'
 * @import { Curve } from './store.mjs'
 */

import { hues } from './arm-style.mjs';
import { element } from './tables.mjs';
import { number } from './words.mjs';

/**
 * A line of a chart.
 * @typedef {object} Line
 * @property {string} name
 * @property {ArmStyle} style
 * @property {boolean} isMean
 */

/** What is drawn of a line now; undefined: nothing. @typedef {Curve | undefined} Shown */

/** @type {number[]} */
const none = [];
/** Of a chart, pixels. */
const height = 216;

/**
 * A chart of one column, that is read by pointer and by keys: left and right go along a line, up and down to
 * another one.
 * @param {{ title: string, unit: string }} words
 * @param {readonly Line[]} lines
 */
export function newChart({ title, unit }, lines) {
  const plotPlace = element('div');
  plotPlace.className = 'plot';
  plotPlace.tabIndex = 0;
  plotPlace.setAttribute('role', 'group');
  const readout = element('output', hint);
  const coarseness = element('span');
  const caption = element('figcaption', element('h3', title), element('span', unit), coarseness);
  const figure = element('figure', caption, plotPlace, readout);
  plotPlace.setAttribute('aria-label', `${title}${unit === '' ? '' : `, ${unit}`}, by update`);
  plotPlace.setAttribute('aria-roledescription', 'chart: arrow keys read its points');

  /** @type {readonly Shown[]} */
  let shown = [];
  /** What is read: a line, and a point of its curve. @type {{ line: number, at: number } | null} */
  let read = null;
  /** @type {uPlot.AlignedData} */
  let data = [[], ...lines.map(() => []), [], [], []];
  const [low, high, front] = [1, 2, 3].map((i) => lines.length + i);
  let colours = coloursOf();

  /** @param {number} i */
  const strokeOf = (i) => colours.hues[lines[i].style.hue];
  const plot = new uPlot(optionsOf(), data, plotPlace);

  /** @returns {uPlot.Options} */
  function optionsOf() {
    const axis = {
      stroke: () => colours.ink,
      grid: { stroke: () => colours.grid, width: 1 },
      ticks: { show: false },
    };
    const font = '12px system-ui, sans-serif';
    const isThin = lines.length > 60;
    return {
      width: 300,
      height,
      legend: { show: false },
      cursor: {
        drag: { x: false, y: false },
        points: { show: false },
        y: false,
        hover: { skip: [undefined] },
      },
      scales: { x: { time: false } },
      axes: [
        { ...axis, font, size: 28, space: 60, label: 'update', labelFont: font, labelSize: 16 },
        { ...axis, font, size: 52, values: (_, ticks) => ticks.map((tick) => tickWords(tick)) },
      ],
      series: [
        {},
        ...lines.map(({ style, isMean }, i) => ({
          stroke: () => strokeOf(i),
          width: isMean ? 2.5 : isThin ? 0.8 : 1.25,
          dash: style.dash,
          points: isMean || isThin ? { show: false } : { size: 4 },
        })),
        { stroke: 'transparent', points: { show: false } },
        { stroke: 'transparent', points: { show: false } },
        { stroke: () => (read ? strokeOf(read.line) : 'transparent'), width: 2.5, points: { show: false } },
      ],
      bands: [{ series: [high, low], fill: () => colours.band }],
      hooks: { setCursor: [onCursor], draw: [drawMark] },
    };
  }

  /** @param {uPlot} u */
  function drawMark({ ctx, valToPos }) {
    if (!read) return;
    const point = pointOf(read);
    if (!point || point.y === null) return;
    ctx.beginPath();
    ctx.arc(valToPos(point.x, 'x', true), valToPos(point.y, 'y', true), 4 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fillStyle = strokeOf(read.line);
    ctx.fill();
  }

  /** Reads the point that is nearest to the pointer. @param {uPlot} u */
  function onCursor({ cursor: { left = -1, top = -1, idxs = [] }, valToPos }) {
    if (left < 0 || isByKeys) return;
    let least = 40 ** 2;
    let nearest = null;
    shown.forEach((curve, line) => {
      const index = idxs[line + 1];
      if (!curve || index === null || index === undefined) return;
      const at = placeOf(curve.x, Number(data[0][index]));
      const y = curve.y[at];
      if (y === null || y === undefined) return;
      const distance = (valToPos(y, 'y') - top) ** 2 + (valToPos(curve.x[at], 'x') - left) ** 2;
      if (distance < least) [least, nearest] = [distance, { line, at }];
    });
    reads(nearest);
  }

  /** @param {{ line: number, at: number } | null} now */
  function reads(now) {
    if (now?.line === read?.line && now?.at === read?.at) return;
    const isOther = now?.line !== read?.line;
    read = now;
    readout.textContent = now ? readWords(now) : hint;
    if (isOther) plot.setData(withFront(), false);
    plot.redraw(false);
  }

  /** @param {{ line: number, at: number }} now */
  function pointOf({ line, at }) {
    const curve = shown[line];
    return curve && at < curve.x.length
      ? { x: curve.x[at], y: curve.y[at], low: curve.low[at], high: curve.high[at], width: curve.width }
      : null;
  }

  /** @param {{ line: number, at: number }} now */
  function readWords(now) {
    const point = pointOf(now);
    if (!point) return hint;
    const { x, y, low, high, width } = point;
    const range = width > 1 ? ` (${number(low)} to ${number(high)}, mean of ${width})` : '';
    return `${lines[now.line].name}, update ${Math.round(x)}: ${number(y)}${range}`;
  }

  /** The data, with the range and the line of what is read in front; of one line alone, its range always. */
  function withFront() {
    const only = shown.flatMap((curve, i) => (curve ? i : []));
    const line = read?.line ?? (only.length === 1 ? only[0] : null);
    const curve = line === null ? undefined : shown[line];
    const xs = /** @type {number[]} */ (data[0]);
    const columns = [...data];
    columns[low] = curve && curve.width > 1 ? aligned(xs, curve.x, curve.low) : none;
    columns[high] = curve && curve.width > 1 ? aligned(xs, curve.x, curve.high) : none;
    columns[front] = read && curve && line !== null ? data[line + 1] : none;
    return /** @type {uPlot.AlignedData} */ (columns);
  }

  let isByKeys = false;
  /** @type {Record<string, [line: number, point: number]>} */
  const keys = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  plotPlace.addEventListener('keydown', (event) => {
    const step = keys[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    isByKeys = true;
    const there = shown.flatMap((curve, i) => (curve ? i : []));
    if (there.length === 0) return;
    const before = read ?? { line: there[0], at: Number.POSITIVE_INFINITY };
    const line = there[(Math.max(0, there.indexOf(before.line)) + step[0] + there.length) % there.length];
    const { x } = /** @type {Curve} */ (shown[line]);
    const at = Math.min(Math.max(0, Math.min(before.at, x.length) + step[1]), x.length - 1);
    reads({ line, at });
  });
  plotPlace.addEventListener('pointermove', () => {
    isByKeys = false;
  });
  const leave = () => reads(null);
  plotPlace.addEventListener('blur', leave);
  plotPlace.addEventListener('pointerleave', leave);
  const resizing = new ResizeObserver(() => {
    const width = Math.floor(plotPlace.clientWidth);
    if (width > 0 && width !== plot.width) plot.setSize({ width, height });
  });
  resizing.observe(plotPlace);

  return {
    figure,
    /**
     * Draws these lines, in the order of those that the chart was made with.
     * @param {readonly Shown[]} now
     */
    show(now) {
      const x = read && pointOf(read)?.x;
      shown = now;
      const curves = now.flatMap((curve) => curve ?? []);
      const width = Math.max(1, ...curves.map((curve) => curve.width));
      const range = curves.length === 1 ? ' and their range' : '';
      coarseness.textContent = width > 1 ? `means of ${width} values${range}` : '';
      const xs = [...new Set(curves.flatMap(({ x }) => x))].sort((a, b) => a - b);
      const columns = now.map((curve) => (curve ? aligned(xs, curve.x, curve.y) : none));
      data = /** @type {uPlot.AlignedData} */ ([xs, ...columns, none, none, none]);
      const curve = read && shown[read.line];
      read = read && curve?.x.length && typeof x === 'number' ? { ...read, at: placeOf(curve.x, x) } : null;
      readout.textContent = read ? readWords(read) : hint;
      plot.setData(withFront());
    },
    /** Takes the page's colours, which have changed. */
    recolour() {
      colours = coloursOf();
      plot.redraw(false);
    },
    close() {
      resizing.disconnect();
      plot.destroy();
      figure.remove();
    },
  };
}

const hint = 'Point at a line, or use the arrow keys, to read it.';

/**
 * Values at all x of a chart: undefined where the curve has no point, null where it has one that is not
 * finite. @param {readonly number[]} xs
 * @param {readonly number[]} x
 * @param {readonly (number | null)[]} y
 */
function aligned(xs, x, y) {
  if (x.length === xs.length) return [...y];
  /** @type {(number | null | undefined)[]} */
  const values = new Array(xs.length);
  let at = 0;
  x.forEach((value, i) => {
    while (xs[at] < value) at++;
    values[at] = y[i];
  });
  return values;
}

/**
 * The place of a value in an ascending list that has it.
 * @param {readonly number[]} list
 * @param {number} value
 */
function placeOf(list, value) {
  let [from, to] = [0, list.length - 1];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (list[middle] < value) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** @param {number} tick */
function tickWords(tick) {
  const size = Math.abs(tick);
  if (size >= 1e4 || (size > 0 && size < 1e-3)) return tick.toExponential().replace('e+', 'e');
  return String(Number(tick.toPrecision(6)));
}

/** The colours that the page has now, light or dark. */
function coloursOf() {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: colour('soft'),
    grid: colour('grid'),
    band: colour('range'),
    hues: Object.fromEntries(hues.map((name) => [name, colour(name)])),
  };
}
