/** The environment variables that the commands read; README.md lists them. */
export const environment = {
  /** FLEX_DEVICE: the default of --device. */
  device: process.env.FLEX_DEVICE ?? 'auto',
  /**
   * FLEX_DEBUG: 1 looks at the indices of every gather, and tells at the end of a command what the
   * device did (kernels compiled, dispatches, bytes); 2
   * also how long each op's kernels took, for which every dispatch is timed and the whole runs slower.
   */
  debug: Number(process.env.FLEX_DEBUG ?? 0),
  /** FLEX_DATA: the folder in which `flex eval` looks for benchmarks that --data does not name. */
  data: process.env.FLEX_DATA ?? 'data',
  /** Whether npx started this; npm says so. */
  isNpx: process.env.npm_command === 'exec',
} as const;
