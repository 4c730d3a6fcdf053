/**
 * @import { RunRow } from '../messages.ts'
 * @import { Line, Shown } from './chart.mjs'
 * @import { Curve } from './store.mjs'
 */

import { armStyles, hues } from './arm-style.mjs';
import { newChart } from './chart.mjs';
import { store } from './store.mjs';
import { columnWords } from './words.mjs';

/** The charts by their column. @type {Map<string, ReturnType<typeof newChart>>} */
const charts = new Map();
/** Columns whose chart is to be drawn anew. @type {Set<string>} */
const stale = new Set();
/** Charts that are on the screen. @type {Set<Element>} */
const visible = new Set();
let lineNames = '';
let isAsked = false;
let timer = 0;

/**
 * What is chosen to be seen.
 * @typedef {object} Choice
 * @property {'runs' | 'arms'} view
 * @property {ReadonlySet<string>} arms all of them where it is empty
 */

/** @type {Choice} */
let choice = { view: 'runs', arms: new Set() };

const sight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target);
      else visible.delete(target);
    }
    ask();
  },
  { rootMargin: '50%' },
);

/**
 * Draws what has changed: a chart a frame, and those on the screen alone.
 * @param {HTMLElement} place
 * @param {Iterable<string>} columns
 */
export function drawCurves(place, columns) {
  const lines = linesOf();
  const names = JSON.stringify(lines);
  if (names !== lineNames) {
    for (const chart of charts.values()) chart.close();
    charts.clear();
    lineNames = names;
  }
  const wanted = (store.header?.columns ?? []).filter((column) => store.curves.get(column)?.size);
  for (const [column, chart] of charts) {
    if (wanted.includes(column)) continue;
    chart.close();
    charts.delete(column);
  }
  wanted.forEach((column, i) => {
    if (charts.has(column)) return;
    const chart = newChart(columnWords(column), lines);
    charts.set(column, chart);
    place.insertBefore(chart.figure, place.children[i] ?? null);
    sight.observe(chart.figure);
    stale.add(column);
  });
  for (const column of columns) stale.add(column);
  ask();
}

/** @param {Choice} now */
export function choose(now) {
  choice = now;
  due.clear();
  clearTimeout(timer);
  isAsked = false;
  for (const column of charts.keys()) stale.add(column);
  ask();
}

/** Takes the page's colours, which have changed. */
export function recolourCurves() {
  for (const chart of charts.values()) chart.recolour();
}

/**
 * When a chart may be drawn again, by its column: drawing one takes a tenth of the time.
 * @type {Map<string, number>}
 */
const due = new Map();

function ask() {
  const open = [...stale].filter((column) => visible.has(charts.get(column)?.figure ?? document.head));
  if (open.length === 0 || isAsked) return;
  isAsked = true;
  const first = Math.min(...open.map((column) => due.get(column) ?? 0));
  const draw = () => {
    isAsked = false;
    const begun = performance.now();
    const column = open.find((one) => (due.get(one) ?? 0) <= begun);
    const chart = charts.get(column ?? '');
    if (column !== undefined && chart) {
      stale.delete(column);
      chart.show(shownOf(column));
      const now = performance.now();
      due.set(column, now + 10 * (now - begun));
    }
    ask();
  };
  timer = setTimeout(() => requestAnimationFrame(draw), Math.max(0, first - performance.now()));
}

/** A line for each run, then one for each arm. @returns {Line[]} */
function linesOf() {
  const arms = store.header?.arms ?? [];
  const styles = armStyles(arms);
  const plain = { hue: hues[0], dash: [] };
  const runs = store.runs().map(({ name, arm }) => ({
    name,
    style: (arm && styles.get(arm)) || plain,
    isMean: false,
  }));
  const means = arms.map(({ name }) => ({
    name: `${name}, mean`,
    style: styles.get(name) ?? plain,
    isMean: true,
  }));
  return [...runs, ...means];
}

/** @param {string} column @returns {Shown[]} */
function shownOf(column) {
  const curves = store.curves.get(column) ?? new Map();
  const { view, arms: chosen } = choice;
  /** @param {string | null} arm */
  const isChosen = (arm) => chosen.size === 0 || chosen.has(arm ?? '');
  const runs = store.runs();
  const ofRuns = runs.map(({ name, arm, state }) => {
    const isInMean = view === 'arms' && state === 'done';
    return isChosen(arm) && !isInMean ? curves.get(name) : undefined;
  });
  const ofArms = (store.header?.arms ?? []).map(({ name }) =>
    isChosen(name) && view === 'arms' ? meanOf(runs, name, curves) : undefined,
  );
  return [...ofRuns, ...ofArms];
}

/**
 * The mean of the curves of an arm's runs that are done, where all of them have a point.
 * @param {readonly RunRow[]} runs
 * @param {string} arm
 * @param {ReadonlyMap<string, Curve>} curves
 * @returns {Curve | undefined}
 */
function meanOf(runs, arm, curves) {
  const own = runs
    .filter((run) => run.arm === arm && run.state === 'done')
    .flatMap(({ name }) => curves.get(name) ?? []);
  if (own.length === 0) return undefined;
  const places = own.map(({ x }) => new Set(x));
  const x = own[0].x.filter((value) => places.every((place) => place.has(value)));
  const wanted = new Set(x);
  const values = own.map((curve) => curve.y.filter((_, i) => wanted.has(curve.x[i])));
  const y = x.map((_, i) => meanAt(values, i));
  return { width: 1, x, y, low: y, high: y };
}

/** Null where one of them is. @param {readonly (readonly (number | null)[])[]} lists @param {number} i */
function meanAt(lists, i) {
  let sum = 0;
  for (const { [i]: value } of lists) {
    if (value === null) return null;
    sum += value;
  }
  return sum / lists.length;
}
