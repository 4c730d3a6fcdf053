import type { BoxEnd, BoxOptions, Sandbox } from '../../sandbox/box.ts';

/** Where a program is judged. */
export interface Place {
  readonly sandbox: Sandbox;
  readonly lane: number;
}

export interface BoxRun extends Omit<BoxOptions, 'lane' | 'onOutput'> {
  readonly stdin: string | Uint8Array;
  /** Takes all of standard output, up to its limit. */
  readonly onOutput: (chunk: Buffer) => void;
}

/** Runs a program to its end; more output than its limit allows stops it. */
export async function runBox({ sandbox, lane }: Place, { stdin, onOutput, ...run }: BoxRun): Promise<BoxEnd> {
  let size = 0;
  const box = sandbox.open({
    ...run,
    lane,
    onOutput(chunk) {
      size += chunk.length;
      if (size > run.limits.outputBytes) box.kill();
      else onOutput(chunk);
    },
  });
  box.write(stdin);
  box.endInput();
  const end = await box.ended;
  return size > run.limits.outputBytes ? { ...end, stopped: 'output' } : end;
}
