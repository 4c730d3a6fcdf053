/**
 * @import { Header, Points, RunRow, Update } from '../messages.ts'
 */

/**
 * A curve as the page has it.
 * @typedef {object} Curve
 * @property {number} width values that a point is the mean of
 * @property {number[]} x
 * @property {(number | null)[]} y
 * @property {(number | null)[]} low
 * @property {(number | null)[]} high
 */

/** What the page has been told: all of it follows from the updates. */
export const store = {
  /** @type {Header | null} */
  header: null,
  /** @type {Map<string, RunRow>} */
  rows: new Map(),
  /** By column, then by run. @type {Map<string, Map<string, Curve>>} */
  curves: new Map(),

  /** Takes an update; gives the columns whose curves it changed. @param {Update} update */
  apply({ header, rows = [], curves = [] }) {
    if (header) this.header = header;
    for (const row of rows) this.rows.set(row.name, row);
    for (const { run, column, from, width, ...points } of curves) {
      const ofColumn = this.curves.get(column) ?? new Map();
      this.curves.set(column, ofColumn);
      ofColumn.set(run, joined(ofColumn.get(run), from, width, points));
    }
    return new Set(curves.map(({ column }) => column));
  },

  /** Forgets curves, which a new connection tells anew. */
  forget() {
    this.curves.clear();
  },

  /** The runs that are there, in order. @returns {RunRow[]} */
  runs() {
    return (this.header?.runs ?? []).flatMap((name) => this.rows.get(name) ?? []);
  },
};

/**
 * @param {Curve | undefined} before
 * @param {number} from
 * @param {number} width
 * @param {Points} points
 * @returns {Curve}
 */
function joined(before, from, width, { x, y, low = y, high = y }) {
  /** @type {<T>(kept: readonly T[] | undefined, added: readonly T[]) => T[]} */
  const list = (kept = [], added) => [...kept.slice(0, from), ...added];
  return {
    width,
    x: list(before?.x, x),
    y: list(before?.y, y),
    low: list(before?.low, low),
    high: list(before?.high, high),
  };
}
