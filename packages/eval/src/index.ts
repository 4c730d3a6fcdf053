export * from './pass-at-k.ts';
