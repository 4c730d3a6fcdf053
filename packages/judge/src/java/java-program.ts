import { DataError } from '@flex/base';
import type { Program } from '../program.ts';
import { closeJavaUnit, javaSignature, javaTester } from './java-stub.ts';

export interface JavaProgramOptions {
  /** The prompt as published, which ends in the body of the method that is tested. */
  readonly prompt: string;
  /** The candidate's source; braces that it leaves open are closed. */
  readonly source: string;
  /** What follows the body of the method in the tester, from its closing brace on. */
  readonly tests: string;
  readonly mainClass: string;
  /** See JavaCalls. */
  readonly whole: string | null;
}

/** A Java program that is tested from another JVM. */
export function javaProgram({ prompt, source, tests, mainClass, whole }: JavaProgramOptions): Program {
  const tester = javaTester({ prompt, tests });
  return {
    language: 'java',
    source: closeJavaUnit(source),
    tests: { kind: 'java-calls', tester, mainClass, whole },
  };
}

/** Whether all braces of a source are closed. */
export function isClosedJava(source: string): boolean {
  return closeJavaUnit(source) === source;
}

/** The prompt, if it ends in the body of a static method. Throws DataError, which names the place. */
export function javaPrompt(prompt: string, where: string): string {
  try {
    javaSignature(prompt);
    return prompt;
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(`${where}: ${error.message}`);
  }
}
