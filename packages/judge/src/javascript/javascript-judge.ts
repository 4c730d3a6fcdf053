import { readFileSync } from 'node:fs';
import { javascript } from '../languages/javascript.ts';
import type { JavaScriptCalls, Program } from '../program.ts';
import { limitsIn } from '../protocol/appended.ts';
import { judgeCalls, onChannel } from '../protocol/calls.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { constantFile } from '../sandbox/constant-file.ts';
import type { Limits } from '../sandbox/limits.ts';
import { toolchainVersion } from '../toolchain.ts';
import type { Finding } from '../verdict.ts';

const read = (name: string) => constantFile(readFileSync(new URL(name, import.meta.url)));
const shared = { '/flex/channel.cjs': read('channel.cjs'), '/flex/codec.cjs': read('codec.cjs') };
const candidateFiles = { ...shared, '/flex/candidate.cjs': read('candidate.cjs') };
const testerFiles = { ...shared, '/flex/tester.cjs': read('tester.cjs') };

const node = (script: string) => onChannel(['/usr/bin/env', 'node', script]);

/**
 * Judges a JavaScript program by tests in another Node.js than its own; `codec.cjs` says what crosses between
 * them. Throws ConfigError without Node.js, and what `judgeCalls` throws.
 */
export async function judgeJavaScript(
  { source, tests: { code, entryPoint } }: Program<JavaScriptCalls>,
  { sandbox, lane, limits }: { sandbox: Sandbox; lane: number; limits: Limits },
): Promise<Finding> {
  await toolchainVersion(javascript);
  return await judgeCalls({
    sandbox,
    lane,
    limits: limitsIn(javascript, limits),
    language: javascript,
    candidate: { command: node('/flex/candidate.cjs'), files: candidateFiles },
    load: JSON.stringify([source, entryPoint]),
    tester: {
      command: node('/flex/tester.cjs'),
      files: { ...testerFiles, '/flex/tests.json': JSON.stringify({ code, entryPoint }) },
    },
  });
}
