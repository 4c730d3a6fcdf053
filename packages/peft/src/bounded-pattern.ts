import { createContext, Script } from 'node:vm';
import { ConfigError, show } from '@flex/base';

/** A pattern that somebody else wrote. */
export type Pattern = Pick<RegExp, 'exec' | 'test'>;

/** Milliseconds that a pattern may take in all: some take time exponential in a text's length. */
const mostMilliseconds = 2000;

const context = createContext({ pattern: /(?:)/, text: '' });
const search = new Script('pattern.exec(text)');

/** The pattern, but that it throws ConfigError once it has taken two seconds. */
export function boundedPattern(pattern: RegExp): Pattern {
  let left = mostMilliseconds;
  const exec = (text: string): RegExpExecArray | null => {
    Object.assign(context, { pattern, text });
    const started = performance.now();
    try {
      return search.runInContext(context, {
        timeout: Math.max(1, Math.ceil(left)),
      }) as RegExpExecArray | null;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw cause;
      const seconds = mostMilliseconds / 1000;
      throw new ConfigError(
        `the pattern ${show(pattern.source)} takes more than ${seconds} s; write a simpler one`,
      );
    } finally {
      left -= performance.now() - started;
    }
  };
  return { exec, test: (text) => exec(text) !== null };
}
