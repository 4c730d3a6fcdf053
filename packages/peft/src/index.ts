export * from './adapter-file.ts';
export { peftName } from './adapter-names.ts';
export * from './adapters.ts';
export * from './lora.ts';
export * from './merge.ts';
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
export * from './regularizers/swapped-frequencies.ts';
export * from './spectrum.ts';
export { type LinearSize, type Linears, resolveTargets, type Targets } from './targets.ts';
