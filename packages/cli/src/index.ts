export { tellFailure } from './failure.ts';
export { main } from './main.ts';
