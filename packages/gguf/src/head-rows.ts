import type { ModelConfig } from '@flex/llama';

/**
 * The rows of a head of q or k in the order in which llama.cpp's llama turns them: the first of the first
 * half, the first of the second, the second of the first, …. Null for another weight.
 */
export function headRows(name: string, { headDim }: Pick<ModelConfig, 'headDim'>): readonly number[] | null {
  if (!/\.(q|k)_proj\.(weight|bias)$/.test(name)) return null;
  return Array.from({ length: headDim }, (_, row) => (row % 2) * (headDim / 2) + (row >> 1));
}

/** Pieces of whole heads whose rows, of so many columns, come in another order. */
export function* reordered(
  pieces: Iterable<Float32Array>,
  rows: readonly number[],
  columns: number,
): Generator<Float32Array> {
  for (const piece of pieces) {
    const out = new Float32Array(piece.length);
    for (let head = 0; head < piece.length; head += rows.length * columns) {
      rows.forEach((from, to) => {
        const start = head + from * columns;
        out.set(piece.subarray(start, start + columns), head + to * columns);
      });
    }
    yield out;
  }
}
