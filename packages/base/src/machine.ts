import { arch, availableParallelism, cpus, hostname, release, totalmem, type } from 'node:os';

export interface Machine {
  readonly host: string;
  readonly os: string;
  readonly cpu: string;
  /** Those that this process may use. */
  readonly cores: number;
  /** Main memory. */
  readonly memory_bytes: number;
}

/** This machine. */
export function describeMachine(): Machine {
  return {
    host: hostname(),
    os: `${type()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_bytes: totalmem(),
  };
}
