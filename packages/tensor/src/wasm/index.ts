// What one writes kernels for the CPU engine with.
export * from '../wasm-kernel.ts';
export { Body, type Local } from './body.ts';
export { element, type Four, fours } from './fours.ts';
export { loadF16, widened } from './half.ts';
export * as math from './math.ts';
export * from './values.ts';
