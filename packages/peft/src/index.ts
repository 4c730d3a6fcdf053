export * from './adapter-file.ts';
export { peftName } from './adapter-names.ts';
export {
  type AdapterPair,
  type Adapters,
  type AdapterWeights,
  flattenAdapters,
  flattenWeights,
  lowRankOf,
  unflattenAdapters,
  unflattenWeights,
} from './adapters.ts';
export * from './combine-adapters.ts';
export { emptyAdapter } from './empty-adapter.ts';
export { type FreshAdapter, initAdapter, initLora, removedBy } from './init-lora.ts';
export * from './lora.ts';
export { learningRateFactors } from './lora-plus.ts';
export { type LowRankProduct, productsOf, subtractProduct } from './low-rank-product.ts';
export * from './merge.ts';
export * from './open-adapter.ts';
export { plainAdapter, trainedHalf } from './plain-adapter.ts';
export * from './regularizer.ts';
export { type DctOptions, dctPart, dctPenalty } from './regularizers/dct.ts';
export {
  type FourierOptions,
  type FourierRegularizer,
  fourier,
  fourierOptions,
  fourierPart,
} from './regularizers/fourier.ts';
export { l2, l2Part } from './regularizers/l2.ts';
export * from './regularizers/matched-l2.ts';
export * from './regularizers/permuted-frequencies.ts';
export type { SpectralRegularizer } from './regularizers/spectral-penalty.ts';
export * from './regularizers/stand-in.ts';
export * from './regularizers/swapped-frequencies.ts';
export { type StorageType, storageTypes } from './round-to-storage.ts';
export * from './rounding-errors.ts';
export * from './spectrum.ts';
export {
  isPattern,
  type LinearSize,
  type Linears,
  requireEffect,
  resolveTargets,
  type Targets,
} from './targets.ts';
export { type WeightChange, weightChanges } from './weight-changes.ts';
export { idleBias, initWhole, type ModelWeights, type WeightShapes } from './whole-weights.ts';
export * from './with-adapter.ts';
