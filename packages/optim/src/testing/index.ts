export { checkOptimizer } from './check-optimizer.ts';
