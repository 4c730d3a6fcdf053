export { checkRegularizer } from './check-regularizer.ts';
