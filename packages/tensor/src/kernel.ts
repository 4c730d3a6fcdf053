// What one writes ops with.
export { elementsRead } from './backends/elements-read.ts';
export * from './elementwise.ts';
export { type Comparison, call, constant, Expr, type Primitive } from './expr.ts';
export * from './kernel-record.ts';
export * from './op.ts';
export { columnOf, rowMax, rowMean, rowSum } from './ops/rows.ts';
export { philoxWgsl } from './philox.ts';
export type { OperandKind } from './row-plan.ts';
export * from './rowwise.ts';
export { axisIndex, broadcastShapes, bytesOf, strides } from './shape.ts';
export {
  apply,
  applyAll,
  isRecording,
  onlyRecorder,
  type Recorder,
  twin,
  withoutRecorders,
  withRecorder,
} from './tensor.ts';
export { load, load4, storageType } from './wgsl.ts';
