export * from './describe-overlap.ts';
export * from './find-overlaps.ts';
export { isSame, type OverlapKind, overlapKinds, overlapRule } from './overlap-index.ts';
export * from './read-prints.ts';
export { type PlacedId, type RowPrint, rowPrint } from './row-print.ts';
