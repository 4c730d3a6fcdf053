export * from './read-gguf.ts';
