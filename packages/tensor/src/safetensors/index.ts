export { toBfloat16Bits } from '../half-floats.ts';
export * from './safetensors.ts';
export * from './safetensors-format.ts';
export * from './safetensors-writer.ts';
