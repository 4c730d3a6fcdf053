import { type Shape, strides } from '../shape.ts';

/** Elements of a wrong result that a message shows. */
const shown = 4;

/**
 * Throws unless |got − want| ≤ tolerance·(1 + |want|) for every element; an infinity or NaN must be met
 * exactly. `what` opens the message, and with `shape` [..] elements are named by their place in it.
 */
export function expectClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance: number,
  what = 'result',
  shape: Shape = [want.length],
): void {
  if (got.length !== want.length)
    throw new Error(`${what}: needs ${want.length} elements, got ${got.length}`);
  const wrong: number[] = [];
  for (let i = 0; i < want.length; i++) if (!isClose(got[i], want[i], tolerance)) wrong.push(i);
  if (wrong.length === 0) return;
  const lines = wrong.slice(0, shown).map((i) => {
    const error = (Math.abs(got[i] - want[i]) / (1 + Math.abs(want[i]))).toExponential(1);
    return `\n  ${placeOf(i, shape)}: got ${got[i]}, want ${want[i]}, |got − want|/(1 + |want|) = ${error}`;
  });
  const norm = relativeError(got, want).toExponential(1);
  const head = `${what}: ${wrong.length} of ${want.length} elements are off by more than ${tolerance}`;
  throw new Error(`${head} (relative 2-norm ${norm})${lines.join('')}${wrong.length > shown ? '\n  …' : ''}`);
}

/** ‖got − want‖₂ / ‖want‖₂, and 0 where both are zero. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let difference = 0;
  let total = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    total += want[i] ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / total);
}

/** Whether |got − want| ≤ tolerance·(1 + |want|); an infinity or NaN must be met exactly. */
export function isClose(got: number, want: number, tolerance: number): boolean {
  if (!Number.isFinite(want)) return Object.is(got, want);
  return Math.abs(got - want) <= tolerance * (1 + Math.abs(want));
}

/** `[1, 2]`: the place of the flat index in a row-major shape. */
function placeOf(index: number, shape: Shape): string {
  return `[${strides(shape).map((step, axis) => Math.floor(index / step) % shape[axis])}]`.replaceAll(
    ',',
    ', ',
  );
}
