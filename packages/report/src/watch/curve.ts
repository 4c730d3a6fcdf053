import type { Points } from './messages.ts';

/** Values by update, as many as there are, in so many points at most. */
export interface Curve {
  /** Values so far. */
  readonly count: number;
  /** Successive values that a point is the mean of; the last point may have fewer. A power of two. */
  readonly width: number;
  /** Adds a value; null is one that is not finite. */
  add(x: number, y: number | null): void;
  /** The points from the one at this place on, with 6 digits. */
  points(from: number): Points;
}

/**
 * A curve that keeps at most `capacity` points, an even number: where values would need more, two neighbours
 * become one. Point i is of the values from i·width on: the mean of their updates, their mean, least and
 * greatest; so no value is left out, and a narrow peak stays to be seen in the greatest. One value that is
 * not finite makes its point null.
 */
export function newCurve(capacity: number): Curve {
  const [x, y, low, high]: number[][] = [[], [], [], []];
  let width = 1;
  let count = 0;
  const halve = () => {
    const half = capacity / 2;
    for (let i = 0; i < half; i++) {
      const [a, b] = [2 * i, 2 * i + 1];
      x[i] = (x[a] + x[b]) / 2;
      y[i] = (y[a] + y[b]) / 2;
      low[i] = Math.min(low[a], low[b]);
      high[i] = Math.max(high[a], high[b]);
    }
    for (const list of [x, y, low, high]) list.length = half;
    width *= 2;
  };
  return {
    get count() {
      return count;
    },
    get width() {
      return width;
    },
    add(step, value) {
      const v = value ?? Number.NaN;
      if (count === capacity * width) halve();
      const at = Math.floor(count / width);
      const n = (count % width) + 1;
      count++;
      if (n === 1) {
        for (const [list, first] of [
          [x, step],
          [y, v],
          [low, v],
          [high, v],
        ] as const)
          list.push(first);
        return;
      }
      x[at] += (step - x[at]) / n;
      y[at] += (v - y[at]) / n;
      low[at] = Math.min(low[at], v);
      high[at] = Math.max(high[at], v);
    },
    points(from) {
      const told = (list: readonly number[]) => list.slice(from).map(rounded);
      const middle = { x: x.slice(from), y: told(y) };
      return width === 1 ? middle : { ...middle, low: told(low), high: told(high) };
    },
  };
}

/** In 6 digits, which are more than a screen has pixels; null for what is not finite. */
function rounded(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}
