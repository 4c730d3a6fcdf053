import type { Format } from './format.ts';
import * as formats from './formats/index.ts';

/** The formats of rows that completions come from, in the order in which `auto` tries them. */
export const completionFormats: readonly Format[] = [
  formats.inputIds,
  formats.messages,
  formats.mbpp,
  formats.humanEval,
  formats.mbxp,
  formats.apps,
  formats.codeSearchNet,
  formats.promptCompletion,
  formats.plainText,
];

/** The formats of all rows, in this order: also of those of benchmarks that have no solutions. */
export const knownFormats: readonly Format[] = [...completionFormats, formats.multiplE];
