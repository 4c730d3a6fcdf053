import type { Program } from '../program.ts';

export interface CppProgramOptions {
  /** The prompt as published, which ends in the first line of the function that is tested. */
  readonly prompt: string;
  /** The candidate's source, up to what the tests begin with. */
  readonly source: string;
  /** What closes the function, and a main function that asserts. */
  readonly tests: string;
}

/** The last line of a prompt: `std::vector<long> f(long x, std::string s) {`. */
const functionHead = /^(\S.*?)[ \t]+(\w+)\((.*)\) \{$/;
const parameter = /^(.+) (\w+)$/;
const names = 'std::string|std::any|long|int|bool|char|float|double|unsigned';
const types = new RegExp(`^(?:${names}|std::(?:vector|map|optional|tuple|pair)<|[>, ])+$`);

/**
 * A C++ program, tested from another process where all types of the tested function are of those whose values
 * cross (`channel.hpp`), and else with the tests in its own.
 */
export function cppProgram({ prompt, source, tests }: CppProgramOptions): Program {
  const lines = prompt.trimEnd().split('\n');
  const [, result, entryPoint, parameters] = functionHead.exec(lines[lines.length - 1]) ?? [];
  // What a function throws ends its process.
  const main = /\bcatch\b/.test(tests) ? -1 : tests.search(/^int main\(\) \{/m);
  const taken = entryPoint === undefined ? null : typesOf(parameters);
  if (taken === null || main < 0 || ![result, ...taken].every((type) => types.test(type))) {
    return { language: 'cpp', source, tests: { kind: 'appended', code: `\n${tests}` } };
  }
  return {
    language: 'cpp',
    source: `${source}\n${tests.slice(0, main)}`,
    tests: {
      kind: 'cpp-calls',
      setup: lines.slice(0, -1).join('\n'),
      signature: `${result}(${taken.join(', ')})`,
      entryPoint,
      code: tests.slice(main),
    },
  };
}

/** The types of parameters; null where one has no name. */
function typesOf(parameters: string): string[] | null {
  if (parameters.trim() === '') return [];
  const all = splitAtCommas(parameters).map((text) => parameter.exec(text.trim())?.[1]);
  return all.every((type) => type !== undefined) ? all : null;
}

/** Splits at the commas that no angle bracket encloses. */
function splitAtCommas(text: string): string[] {
  let depth = 0;
  const parts = [''];
  for (const c of text) {
    if (c === '<') depth++;
    if (c === '>') depth--;
    if (c === ',' && depth === 0) parts.push('');
    else parts[parts.length - 1] += c;
  }
  return parts;
}
