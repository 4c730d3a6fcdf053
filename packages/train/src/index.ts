export type { Callback, RunContext } from './callback.ts';
export * from './config.ts';
export { type ConfigFile, readConfigFile } from './config-file.ts';
export { applyOverride, merge as mergeSections, type Override, parseOverride } from './config-override.ts';
export { isSection, respellConfig, respellSection, type Section } from './config-section.ts';
export { estimateCurvature, objectiveOf } from './curvature.ts';
export * from './data/batches.ts';
export * from './data/data-set.ts';
export * from './data/describe-data.ts';
export * from './data/encode.ts';
export type { LengthHistogram } from './data/length-histogram.ts';
export * from './held-out-log.ts';
export { leastTrainingMemory } from './least-training-memory.ts';
export * from './lock-run.ts';
export * from './loop.ts';
export * from './manifest.ts';
export * from './metrics-log.ts';
export { type PartInput, type PartKind, type PartKinds, type PartSection, partKinds } from './parts.ts';
export { describeAvailable, describeMemory, type MemoryPlan, type MemoryWay } from './plan-memory.ts';
export * from './plan-run.ts';
export { type Preset, presets } from './presets.ts';
export * from './recipe.ts';
export * from './run.ts';
export * from './run-folder.ts';
export { decidesModel, runKey } from './run-inputs.ts';
export { totalSteps } from './run-length.ts';
export * from './spectrum-log.ts';
export * from './tensorboard.ts';
export {
  type UpdateInputs,
  type UpdateResult,
  type UpdateSetup,
  update,
  type WeightedRegularizer,
} from './update.ts';
