// What one computes with.

export type { Backend, Stats } from './backend.ts';
export { checked } from './backends/checked.ts';
export type { CountedDevice } from './backends/counted-device.ts';
export * from './backends/counting.ts';
export { type DeviceMemory, leastMemory } from './backends/device-memory.ts';
export * from './backends/examine.ts';
export { openGpuJs } from './backends/gpujs.ts';
export { openReference } from './backends/reference.ts';
export { openWasm, type WasmBackend, type WasmOptions } from './backends/wasm/wasm.ts';
export { whyNoWasm } from './backends/wasm/why-no-wasm.ts';
export { type Patience, watched } from './backends/watched.ts';
export * from './backends/webgpu/webgpu.ts';
export type { Operand } from './elementwise.ts';
export * from './errors.ts';
export { float16BitsToFloat32, toFloat16Bits } from './half-floats.ts';
export type { HostArray } from './op.ts';
export * from './ops/argmax.ts';
export * from './ops/arithmetic.ts';
export { type AttentionOptions, attention } from './ops/attention.ts';
export * from './ops/cast.ts';
export { type CategoricalOptions, categorical } from './ops/categorical.ts';
export * from './ops/comparison.ts';
export { concat } from './ops/concat.ts';
export { countNonFinite } from './ops/count-non-finite.ts';
export * from './ops/cross-entropy.ts';
export * from './ops/dropout.ts';
export { type FftNorm, type FftOptions, irfft, rfft } from './ops/fft.ts';
export * from './ops/functions.ts';
export { gather, scatterAdd } from './ops/gather.ts';
export * from './ops/gelu.ts';
export * from './ops/layer-norm.ts';
export * from './ops/matmul.ts';
export * from './ops/max.ts';
export * from './ops/one-hot.ts';
export * from './ops/permute.ts';
export * from './ops/reshape.ts';
export * from './ops/rms-norm.ts';
export * from './ops/rope.ts';
export { rowMax, rowMean, rowSum } from './ops/rows.ts';
export * from './ops/set-rows.ts';
export { pad, slice, split } from './ops/slice-pad.ts';
export * from './ops/softmax.ts';
export { broadcastTo, type ReduceOptions, sum, sumTo } from './ops/sum.ts';
export { philox } from './philox.ts';
export {
  dequantize,
  isQuantized,
  newQuantizer,
  nf4Values,
  type QuantizedSpec,
  type Quantizer,
  quantize,
} from './quantized.ts';
export type { QuantizedDType } from './quantized-layout.ts';
export { normal, type RandomOptions, uniform } from './random.ts';
export { bytesOf, type DType, type Shape, type Spec, sameShape, show, showAll, size } from './shape.ts';
export {
  arange,
  Donated,
  donate,
  eachTensor,
  empty,
  full,
  keep,
  ones,
  sameSpec,
  scope,
  Tensor,
  tensor,
  tensorFromChunks,
  zeros,
} from './tensor.ts';
