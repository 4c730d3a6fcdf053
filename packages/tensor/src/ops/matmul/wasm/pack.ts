import { type Body, type I32, i32, transpose4 } from '../../../wasm/index.ts';
import { type Elements, indices, rowPointers } from './elements.ts';

/** A part of an input. `along` is true where k lies along its rows, `step` bytes apart; else k counts its rows. */
export interface Part {
  readonly elements: Elements;
  readonly along: boolean;
  readonly address: I32;
  readonly step: I32;
  /** Rows or columns of the output that it is for: at least one. */
  readonly width: I32;
  readonly k: I32;
}

/**
 * Copies a part to a panel f32 [k, lanes], as the micro-kernel reads it. Lanes from `width` on hold anything; k is
 * written in fours where it lies along rows.
 */
export function pack(w: Body, part: Part, lanes: 4 | 8, to: I32): void {
  const { load, bytes } = part.elements;
  const panel = w.let(to);
  const rowBytes = 4 * lanes;
  const fours = indices(lanes / 4);
  if (part.along) {
    const rows = rowPointers(w, lanes, part.address, part.step, part.width);
    w.range(0, part.k, 4, () => {
      for (const four of fours) {
        const square = rows.slice(4 * four, 4 * four + 4).map((row) => load(w, row));
        for (const [q, row] of transpose4(w, square).entries()) {
          w.store(panel, row, q * rowBytes + 16 * four);
        }
      }
      for (const row of rows) w.set(row, i32.add(row, 4 * bytes));
      w.set(panel, i32.add(panel, 4 * rowBytes));
    });
    return;
  }
  // A four without any lane that is there reads the first one again, not what may lie past the input's end.
  const from = fours.map((four) =>
    w.let(i32.add(part.address, i32.select(4 * four * bytes, 0, i32.gtS(part.width, 4 * four)))),
  );
  w.range(0, part.k, 1, () => {
    from.forEach((four, f) => {
      w.store(panel, load(w, four), 16 * f);
      w.set(four, i32.add(four, part.step));
    });
    w.set(panel, i32.add(panel, rowBytes));
  });
}
