import type { BoxEnd, BoxOptions, Sandbox } from './box.ts';

export interface BoxRun extends Omit<BoxOptions, 'onOutput'> {
  readonly sandbox: Sandbox;
  readonly stdin: string | Uint8Array;
  /** Takes all of standard output, up to its limit. */
  readonly onOutput: (chunk: Buffer) => void;
}

/** Runs a program to its end; more output than its limit allows stops it. */
export async function runBox({ sandbox, stdin, onOutput, ...options }: BoxRun): Promise<BoxEnd> {
  let size = 0;
  const box = sandbox.open({
    ...options,
    onOutput(chunk) {
      size += chunk.length;
      if (size > options.limits.outputBytes) box.kill();
      else onOutput(chunk);
    },
  });
  box.write(stdin);
  box.endInput();
  const end = await box.ended;
  return size > options.limits.outputBytes ? { ...end, stopped: 'output' } : end;
}
