/** What one box may use. Its program is killed at the first it exceeds. Seconds may be Infinity. */
export interface Limits {
  /** Wall-clock seconds. */
  readonly wallSeconds: number;
  /** Processor seconds of one process (RLIMIT_CPU), and of all of them together. */
  readonly cpuSeconds: number;
  /** Bytes of address space a process (RLIMIT_AS); null for runtimes that reserve far more than they use. */
  readonly addressSpaceBytes: number | null;
  /** Processes and threads at once (RLIMIT_NPROC, the box's own two included). */
  readonly processes: number;
  /** Bytes of memory of all processes together: kept by the kernel in a control group, else polled. */
  readonly memoryBytes: number;
  /** Bytes of standard output and error together; the box is killed beyond. */
  readonly outputBytes: number;
  /** Bytes a written file may have (RLIMIT_FSIZE), and of each of /tmp and /dev/shm together. */
  readonly fileBytes: number;
  /** Open files a process (RLIMIT_NOFILE). */
  readonly openFiles: number;
}

const MiB = 2 ** 20;

/** Limits of a Python program, or any other without a runtime that reserves address space. */
export const defaultLimits: Limits = {
  wallSeconds: 10,
  cpuSeconds: 10,
  addressSpaceBytes: 8192 * MiB,
  processes: 256,
  memoryBytes: 1229 * MiB,
  outputBytes: 8 * MiB,
  fileBytes: 64 * MiB,
  openFiles: 256,
};

/** Limits of a JVM: it reserves address space far beyond what it uses. */
export const javaLimits: Limits = {
  ...defaultLimits,
  wallSeconds: 15,
  cpuSeconds: 15,
  addressSpaceBytes: null,
};
