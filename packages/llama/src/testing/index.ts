export { writeTinyModel } from './tiny-model.ts';
