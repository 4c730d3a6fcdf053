export { type ServeOptions, serveWatch, type WatchServer } from './serve-watch.ts';
