import { bytesPerElement, type Spec } from '../../../shape.ts';
import { type I32, i32, type WasmKernel, wasmKernel } from '../../../wasm/index.ts';
import type { Problem } from '../problem.ts';
import { bytesFor, elementsOf, elementsOfB, inputsOf } from './elements.ts';
import { pack } from './pack.ts';
import { tile } from './tile.ts';

/** Steps along k at a time: 16 columns of b, 16 KiB, and four rows of a stay in the first cache. */
const blockK = 256;
/** Rows and columns of an item at most: of a 256 KiB, in the second cache. */
const block = 256;
/** Columns of b that are packed together: a cache line of the output. */
const groupColumns = 16;
/** Steps along k of which all columns of an item take no more memory. */
const fewSteps = (groupColumns * blockK) / block;
const tileRows = 4;
const tileColumns = 8;
/** Columns of the output from which a is packed, too: as it lies, its rows may share few lines of a cache. */
const packFrom = 64;
/** Items that a product should have, for the threads. */
const wanted = 8;

/** In how many blocks a length is cut so that there are `pieces`, of `least` or more. */
const blocks = (length: number, least: number, pieces: number) =>
  Math.max(Math.ceil(length / block), Math.min(Math.ceil(length / least), Math.ceil(pieces)));

/**
 * The product in blocks of the output: b, and a where it is read often, are copied to panels that lie as the
 * micro-kernel reads them, 256 steps along k at a time.
 */
export function panelsKernel(p: Problem, [a, b, plus]: readonly Spec[], c: Spec): WasmKernel {
  const columnBlocks = blocks(p.n, 64, wanted / p.batch / Math.ceil(p.m / block));
  const rowBlocks = blocks(p.m, 64, wanted / p.batch / columnBlocks);
  const rowsABlock = tileRows * Math.ceil(p.m / rowBlocks / tileRows);
  const columnsABlock = groupColumns * Math.ceil(p.n / columnBlocks / groupColumns);
  const elementsA = elementsOf(a);
  const packsA = p.n >= packFrom || a.dtype === 'f16';
  return wasmKernel({
    name: 'panels',
    in: inputsOf(a, b, plus),
    out: { c },
    params: {
      m: p.m,
      n: p.n,
      k: p.k,
      matrixA: elementsA.bytes * p.strideA,
      matrixB: bytesPerElement[b.dtype] * p.strideB,
      rowBlocks,
      rowsABlock,
      columnBlocks,
      columnsABlock,
      ...p.scalesB,
    },
    items: p.batch * rowBlocks * columnBlocks,
    cost: (rowsABlock * columnsABlock * p.k) / 20,
    variant: [p.transposeA, p.transposeB, packsA],
    body(w, v) {
      const elementsB = elementsOfB(w, b, v);
      const stepA = w.let(i32.mul(p.transposeA ? v.m : v.k, elementsA.bytes));
      const stepB = w.let(bytesFor(elementsB, p.transposeB ? v.k : v.n));
      const stepC = w.let(i32.shl(v.n, 2));
      const rowOfPanelA = w.let(i32.const(4 * tileRows));
      const rowOfPanelB = 4 * tileColumns;
      const row = w.scratch;
      const panelsB = w.let(i32.add(row, rowOfPanelB));
      const panelsA = w.let(i32.add(panelsB, 4 * groupColumns * blockK));
      const at = (base: I32, ...parts: readonly I32[]) => w.let(parts.reduce((x, y) => i32.add(x, y), base));

      w.range(w.from, w.to, 1, (item) => {
        const line = w.let(i32.divU(item, v.columnBlocks));
        const matrix = w.let(i32.divU(line, v.rowBlocks));
        const firstRow = w.let(i32.mul(i32.remU(line, v.rowBlocks), v.rowsABlock));
        const endRow = w.let(i32.min(v.m, i32.add(firstRow, v.rowsABlock)));
        const firstColumn = w.let(i32.mul(i32.remU(item, v.columnBlocks), v.columnsABlock));
        const endColumn = w.let(i32.min(v.n, i32.add(firstColumn, v.columnsABlock)));
        const a = at(v.a, i32.mul(matrix, v.matrixA));
        const b = at(v.b, i32.mul(matrix, v.matrixB));
        const matrixC = w.let(i32.mul(i32.mul(matrix, v.m), stepC));

        // Once at least: the sum over no steps is 0.
        w.range(0, i32.select(v.k, 1, v.k), blockK, (q) => {
          const k = w.let(i32.min(i32.const(blockK), i32.sub(v.k, q)));
          /** Bytes of a panel for each row or column that it is for. */
          const depth = w.let(i32.shl(i32.and(i32.add(k, 3), -4), 2));
          const partA = (i: I32) => {
            const [rows, columns] = p.transposeA ? [q, i] : [i, q];
            return at(a, i32.mul(rows, stepA), i32.mul(columns, elementsA.bytes));
          };
          const panelA = (i: I32) => at(panelsA, i32.mul(i32.sub(i, firstRow), depth));
          const rowsFrom = (i: I32) => w.let(i32.sub(endRow, i));
          const columnsFrom = (j: I32) => w.let(i32.sub(endColumn, j));
          if (packsA) {
            w.range(firstRow, endRow, tileRows, (i) => {
              const [address, width] = [partA(i), rowsFrom(i)];
              const part = { elements: elementsA, along: !p.transposeA, address, step: stepA, width, k };
              pack(w, part, tileRows, panelA(i));
            });
          }
          // With few steps all columns of the item: rows of the output are then read and written as they lie.
          const wide = w.let(i32.select(block, groupColumns, i32.leS(k, fewSteps)));
          w.range(firstColumn, endColumn, wide, (group) => {
            const endOfGroup = w.let(i32.min(endColumn, i32.add(group, wide)));
            const panelB = (j: I32) => at(panelsB, i32.mul(i32.sub(j, group), depth));
            w.range(group, endOfGroup, tileColumns, (j) => {
              const [rows, columns] = p.transposeB ? [j, q] : [q, j];
              const address = at(b, i32.mul(rows, stepB), bytesFor(elementsB, columns));
              const width = columnsFrom(j);
              const part = { elements: elementsB, along: p.transposeB, address, step: stepB, width, k };
              pack(w, part, tileColumns, panelB(j));
            });
            const form = { rows: tileRows, vectors: tileColumns / 4, transposeA: packsA || p.transposeA };
            w.range(firstRow, endRow, tileRows, (i) => {
              const a = packsA ? panelA(i) : partA(i);
              w.range(group, endOfGroup, tileColumns, (j) => {
                const place = w.let(i32.add(matrixC, i32.add(i32.mul(i, stepC), i32.shl(j, 2))));
                const c = at(v.c, place);
                tile(w, form, {
                  a,
                  stepA: packsA ? rowOfPanelA : stepA,
                  b: panelB(j),
                  stepB: rowOfPanelB,
                  c,
                  stepC,
                  rows: rowsFrom(i),
                  columns: columnsFrom(j),
                  k,
                  start: i32.select(c, p.plus ? i32.add(v.plus, place) : 0, q),
                  row,
                });
              });
            });
          });
        });
      });
    },
  });
}
