export { type AdapterToExport, adapterGguf } from './adapter-gguf.ts';
export * from './gguf-format.ts';
export { type GgufDType, ggufDTypes, type ModelGguf, type ModelToExport, modelGguf } from './model-gguf.ts';
export { tokenizerGguf } from './tokenizer-gguf.ts';
export { type GgufTensor, type WrittenGguf, writeGguf } from './write-gguf.ts';
