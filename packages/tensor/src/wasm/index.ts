// What one writes kernels for the CPU engine with.
export * from '../wasm-kernel.ts';
export { Body, type Local } from './body.ts';
export { copyRow, element, type Four, fours, transpose4 } from './fours.ts';
export { halved, loadF16, widened } from './half.ts';
export * as math from './math.ts';
export * from './values.ts';
export { type Axis, walk } from './walk.ts';
