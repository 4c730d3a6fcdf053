import { oneLine } from '@flex/base';
import type { Finding } from '../verdict.ts';
import { tagOf, textAt } from './java-messages.ts';
import type { JavaWorker } from './java-worker.ts';

/** Characters of a source that are compiled; javac's own memory and stack are made for far less. */
export const maxSourceLength = 2 ** 20;

/**
 * Characters of a source that a process compiles beside others: in no construct of one a character does it
 * recurse so deep as to overflow the stack that `workerLaunch` gives it.
 */
export const maxSharedLength = 2 ** 15;

/**
 * How many times its processor seconds a compilation may take by the clock, on a machine busy with others.
 */
const patience = 4;
/** Milliseconds between two looks at the compiler's processor time. */
const pollMs = 50;

/** Its classes, or why there are none. */
export type Compiled = { readonly jar: Buffer } | Finding;

/** The processes of one judge that compile. */
export interface Compilers {
  /** The one that is kept. */
  warm(): Promise<JavaWorker>;
  /** One that has compiled no program yet, beside the one that is kept. */
  fresh(): Promise<JavaWorker>;
  /** Takes the place of the one that is kept, which is killed. */
  keep(worker: JavaWorker): void;
}

/**
 * Compiles a source; no other program can have a part in what comes of it. Only a process that is still as it
 * was is asked again; a long source, and whatever does not compile, has the word of one that has compiled
 * nothing else. A compilation may use so many processor seconds; one that got too little of a processor is
 * `starved`.
 */
export async function compile(source: string, compilers: Compilers, seconds: number): Promise<Compiled> {
  if (source.length > maxSourceLength) {
    return compileError(`a source of ${source.length} characters; ${maxSourceLength} are compiled`);
  }
  if (source.length > maxSharedLength) return await compileApart(source, compilers, seconds);
  const warm = await compilers.warm();
  const isFirst = !warm.hasCompiled;
  const compiled = await ask(warm, source, seconds);
  if (isFirst || ('jar' in compiled && !warm.dead)) return compiled;
  const fresh = await compilers.fresh();
  const confirmed = await ask(fresh, source, seconds);
  if (warm.dead || 'jar' in confirmed) compilers.keep(fresh);
  else fresh.kill();
  return confirmed;
}

async function compileApart(source: string, compilers: Compilers, seconds: number): Promise<Compiled> {
  const fresh = await compilers.fresh();
  const compiled = await ask(fresh, source, seconds);
  fresh.kill();
  return compiled;
}

/** What one process says, which is killed where it is no longer what it was. */
async function ask(worker: JavaWorker, source: string, seconds: number): Promise<Compiled> {
  const began = { at: performance.now(), cpuSeconds: worker.cpuSeconds() };
  let late: Finding | null = null;
  const poll = setInterval(() => {
    const isBusy = worker.cpuSeconds() - began.cpuSeconds > seconds;
    if (!isBusy && performance.now() - began.at < patience * seconds * 1000) return;
    const error = compileError(`the compiler did not end in ${seconds} s`);
    late ??= isBusy ? error : { ...error, starved: true };
    worker.kill();
  }, pollMs);
  const answer = await worker.compile(source);
  clearInterval(poll);
  if (late !== null) return late;
  if (answer === null) return compileError(`the compiler ended: ${await worker.ended}`);
  if (!isAsItWas(answer)) worker.kill();
  return tagOf(answer) === 'J' ? { jar: answer.subarray(6) } : compileError(textAt(answer, 2));
}

/** Whether nothing has happened to the process that sent this but what always happens. */
export const isAsItWas = (answer: Buffer) => answer[1] === '='.charCodeAt(0);

function compileError(detail: string): Finding {
  return { verdict: 'compile_error', failure: 'compile', detail: oneLine(detail) };
}
