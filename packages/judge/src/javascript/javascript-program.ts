import type { Program } from '../program.ts';

/** What MultiPL-E's tests call: `let candidate = NAME;`. */
const candidateName = /^\s*(?:const|let|var) candidate = ([A-Za-z_$][\w$]*);$/m;

/**
 * A JavaScript program, tested from another process where the tests say by `let candidate = NAME;` what they
 * call, and else with the tests in its own.
 */
export function javascriptProgram({ source, tests }: { source: string; tests: string }): Program {
  const [, entryPoint] = candidateName.exec(tests) ?? [];
  return {
    language: 'js',
    source,
    tests:
      entryPoint === undefined
        ? { kind: 'appended', code: `\n${tests}` }
        : { kind: 'javascript-calls', code: tests, entryPoint },
  };
}
