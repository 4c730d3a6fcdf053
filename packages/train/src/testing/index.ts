export * from './family-case.ts';
export * from './part-module.ts';
export * from './run-manifest.ts';
export * from './tiny-training.ts';
export * from './train-on-cpu.ts';
