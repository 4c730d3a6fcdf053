export * from './hub-server.ts';
export * from './model-files.ts';
