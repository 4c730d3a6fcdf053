export * from './vjp.ts';
