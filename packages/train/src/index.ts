export type { Callback, RunContext } from './callback.ts';
export * from './config.ts';
export { applyOverride, parseOverride } from './config-override.ts';
export { respellSection, type Section } from './config-section.ts';
export { estimateCurvature, objectiveOf } from './curvature.ts';
export * from './data/batches.ts';
export * from './data/data-set.ts';
export * from './data/encode.ts';
export * from './evaluate.ts';
export * from './loop.ts';
export * from './manifest.ts';
export * from './metrics-log.ts';
export { type PartInput, type PartKind, type PartKinds, type PartSection, partKinds } from './parts.ts';
export { type Preset, presets } from './presets.ts';
export * from './recipe.ts';
export * from './run.ts';
export * from './run-folder.ts';
export * from './spectrum-log.ts';
export * from './tensorboard.ts';
export {
  type UpdateInputs,
  type UpdateResult,
  type UpdateSetup,
  update,
  type WeightedRegularizer,
} from './update.ts';
