export { type Limits, type ModelServer, type ServeOptions, serve } from './serve.ts';
export type { Models } from './served.ts';
export { newTurns, type Turns } from './turns.ts';
