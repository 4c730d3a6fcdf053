// What one writes kernels for the CPU engine with.
export * from '../wasm-kernel.ts';
export { Body, type Local } from './body.ts';
export { copyRow, element, type Four, firstOf, fours, transpose4, wholeFour } from './fours.ts';
export { halved, loadF16, loadShifted, rescaled, widened } from './half.ts';
export * as math from './math.ts';
export { multiplyAdd } from './multiply-add.ts';
export * from './values.ts';
export { type Axis, walk } from './walk.ts';
