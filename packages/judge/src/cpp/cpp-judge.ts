import { readFileSync } from 'node:fs';
import { executable } from '../language.ts';
import { cpp } from '../languages/cpp.ts';
import type { CppCalls, Program } from '../program.ts';
import { judgeCalls, onChannel } from '../protocol/calls.ts';
import { compile } from '../protocol/compile.ts';
import type { Sandbox } from '../sandbox/box.ts';
import type { Limits } from '../sandbox/limits.ts';
import { toolchainVersion } from '../toolchain.ts';
import type { Finding } from '../verdict.ts';

interface CppConditions {
  readonly sandbox: Sandbox;
  /** The lane of the tests' box; the candidate's is the next. */
  readonly lane: number;
  readonly limits: Limits;
}

const read = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8');
const channel = read('channel.hpp');
const candidateHeader = channel + read('candidate.hpp');
const testerHeader = channel + read('tester.hpp');

/**
 * Judges a C++ program by tests in another process than its own: each is compiled in a box of its own and
 * runs in one, and `channel.hpp` says what crosses between them. Tests that do not compile are a
 * compile error of every program. Throws ConfigError without a compiler, and what `judgeCalls` throws.
 */
export async function judgeCpp(
  { source, tests }: Program<CppCalls>,
  { sandbox, lane, limits }: CppConditions,
): Promise<Finding> {
  await toolchainVersion(cpp);
  const [candidate, tester] = await Promise.all([
    compile(candidateText(source, tests), { sandbox, lane: lane + 1, language: cpp }),
    compiledTests(sandbox, lane, testerText(tests)),
  ]);
  if (!Buffer.isBuffer(candidate)) return candidate;
  if (!Buffer.isBuffer(tester)) return { ...tester, detail: `tests: ${tester.detail}` };
  return await judgeCalls({
    sandbox,
    lane,
    limits,
    language: cpp,
    candidate: launch(candidate),
    load: '',
    tester: launch(tester),
  });
}

const launch = (program: Buffer) => ({
  command: onChannel(executable.command),
  files: { [executable.path]: program },
});

/** The candidate's source, and a main function that answers calls; it begins at the first line. */
function candidateText(source: string, { signature, entryPoint }: CppCalls): string {
  // As the tests would: by the one function of that name, with values that have no names.
  const call = `[](auto&&... given) { auto tested = ${entryPoint}; return tested(std::move(given)...); }`;
  return `${candidateHeader}namespace flex_judge { using Signature = ${signature}; }
#line 1
${source}
int main() { flex_judge::Serve<flex_judge::Signature>::with(${call}); }
`;
}

/** The tests, and a stub of what they call. */
function testerText({ setup, signature, entryPoint, code }: CppCalls): string {
  return `${testerHeader}#line 1
${setup}
static const flex_judge::Stub<${signature}> ${entryPoint}{};
#undef assert
#define assert(...) ((__VA_ARGS__) ? void() : flex_judge::fail("assertion", #__VA_ARGS__))
${code}`;
}

/** How many compiled tests are kept, of some 200 KB each: a problem's candidates come one after another. */
const kept = 16;
const compiled = new WeakMap<Sandbox, Map<string, Promise<Buffer | Finding>>>();

/** Tests are compiled once for all candidates that they test. */
function compiledTests(sandbox: Sandbox, lane: number, text: string): Promise<Buffer | Finding> {
  const known = compiled.get(sandbox) ?? new Map<string, Promise<Buffer | Finding>>();
  compiled.set(sandbox, known);
  const program = known.get(text) ?? compile(text, { sandbox, lane, language: cpp });
  known.delete(text);
  known.set(text, program);
  for (const oldest of known.keys()) if (known.size > kept) known.delete(oldest);
  const forget = () => void known.delete(text);
  // That a compiler ran out of time says nothing about the next time.
  program.then((result) => Buffer.isBuffer(result) || result.verdict === 'compile_error' || forget(), forget);
  return program;
}
