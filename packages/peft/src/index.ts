export { adapterName, adaptedPaths, parseAdapterName, type Side } from './adapter-names.ts';
export * from './adapter-file.ts';
export * from './lora.ts';
export * from './regularizer.ts';
export { type FourierOptions, type FourierRegularizer, fourier, fourierOptions } from './regularizers/fourier.ts';
export * from './regularizers/l2.ts';
export * from './spectrum.ts';
export { type Linears, type LinearSize, resolveTargets, type Targets } from './targets.ts';
