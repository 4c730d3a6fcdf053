import { Help, type HelpConfiguration } from 'commander';
import { fold } from './terminal.ts';

/** Columns under which an option's description stands beneath it instead of beside. */
const roomy = 70;

/** Commander's help, which fits a narrow terminal too. */
export const help: HelpConfiguration = {
  minWidthToWrap: 1,
  commandUsage(command) {
    return fold(new Help().commandUsage(command), (this.helpWidth ?? 80) - 'Usage: '.length);
  },
  formatItem(term, termWidth, description, helper) {
    const columns = helper.helpWidth ?? 80;
    const indented = (text: string, by: number) => text.replaceAll('\n', `\n${' '.repeat(by)}`);
    if (columns < roomy) {
      return `  ${term}\n      ${indented(helper.boxWrap(description, columns - 6), 6)}`;
    }
    const padded = term.padEnd(termWidth + term.length - helper.displayWidth(term));
    return `  ${padded}  ${indented(helper.boxWrap(description, columns - termWidth - 4), termWidth + 4)}`;
  },
};
