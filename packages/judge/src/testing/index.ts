export { checkLanguage } from './check-language.ts';
export { type Body, type Examples, readExamples } from './examples.ts';
export { isLong } from './long.ts';
export { readSolutions, type Solution } from './solutions.ts';
export { machineSandbox, withoutSandbox } from './without-sandbox.ts';
