export * from './queue-launcher.ts';
export * from './redis-address.ts';
export * from './worker.ts';
