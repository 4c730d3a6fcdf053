export { type CheckRegularizerOptions, checkRegularizer } from './check-regularizer.ts';
