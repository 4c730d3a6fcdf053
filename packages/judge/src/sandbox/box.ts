import type { Accounting } from './box-meter.ts';
import type { Limits } from './limits.ts';

/** Why a box was stopped from outside; null where its program ended by itself. */
export type Stop = 'wall' | 'cpu' | 'memory' | 'output' | 'closed';

export interface BoxOptions {
  /** Program and arguments, as paths inside the box: `/usr/bin/…`, or one of `files`. */
  readonly command: readonly string[];
  /** Read-only files by absolute path in the box, such as `/flex/driver.py`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Files and folders of the machine that its programs read, besides those that every box sees. */
  readonly reads?: readonly string[];
  /** Files and folders of the machine that no program may see, wherever they lie. */
  readonly hidden?: readonly string[];
  readonly limits: Limits;
  /** Which of the lanes that run at once this is: each has a user id of its own, from 0. */
  readonly lane: number;
  /**
   * Takes standard output as it comes; it does not count towards `outputBytes`. Without it standard output is
   * kept, as standard error always is.
   */
  readonly onOutput?: (chunk: Buffer) => void;
}

/** How a box ended. All its processes are gone by then. */
export interface BoxEnd {
  /** The program's exit code, 128 + n where signal n ended it; null where the box was stopped or killed. */
  readonly code: number | null;
  /** What killed the box, where it was neither stopped nor ended by itself. */
  readonly signal: NodeJS.Signals | null;
  readonly stopped: Stop | null;
  /** The first bytes of standard output (when nobody took it) and of standard error, as UTF-8. */
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
  /** Processor seconds of all its processes, as last seen. */
  readonly cpuSeconds: number;
  /** The most memory seen at once, over all its processes. */
  readonly memoryBytes: number;
}

/** A running program in a box. */
export interface Box {
  /** Of the process outside that holds the box; undefined where it could not be started. */
  readonly pid: number | undefined;
  /** Writes to its standard input; what a dead program no longer reads is dropped. */
  write(bytes: string | Uint8Array): void;
  endInput(): void;
  /** What its processes have used, as last seen. */
  usage(): { readonly cpuSeconds: number };
  /** Kills everything in it; `ended` resolves soon after. */
  kill(): void;
  /** Rejects with HarnessError where the box itself could not be made: its program never ran. */
  readonly ended: Promise<BoxEnd>;
}

/** A way of boxing programs that a probe has found safe on this machine. */
export interface Sandbox {
  /** `bubblewrap` or `bubblewrap-as-root`: part of the protocol. */
  readonly mode: string;
  /** What counts a box's memory and processor time: part of the protocol too. */
  readonly accounting: Accounting;
  open(options: BoxOptions): Box;
}
