export * from './check-gradient.ts';
export * from './derivatives.ts';
