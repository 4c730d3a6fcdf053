export { type FabricateOptions, fabricateModel } from './fabricate-model.ts';
export * from './seven-billion-configs.ts';
export * from './shape-model.ts';
export { writeTinyModel } from './tiny-model.ts';
