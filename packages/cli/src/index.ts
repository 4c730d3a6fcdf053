export { beforeModules } from '@flex/base';
export { tellFailure } from './failure.ts';
export { main } from './main.ts';
