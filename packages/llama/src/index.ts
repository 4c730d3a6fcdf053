export * from './checkpoint-files.ts';
export * from './config.ts';
export * from './decoder.ts';
export * from './generate.ts';
export * from './model.ts';
export * from './sample.ts';
export * from './tokenizer.ts';
export * from './weights.ts';
