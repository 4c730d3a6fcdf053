import { expandHome } from '@flex/base';

/** The environment variables that the commands read; docs/command-line.md lists them. */
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
  data: expandHome(process.env.FLEX_DATA ?? 'data'),
  /** FLEX_SERVE_KEY: what requests to `flex serve` must bring. */
  serveKey: process.env.FLEX_SERVE_KEY || undefined,
  /** NO_COLOR (no-color.org): no colours. FORCE_COLOR is stronger, as it is for Node. */
  noColor: Boolean(process.env.NO_COLOR) && process.env.FORCE_COLOR === undefined,
  /** Whether a terminal can show a line that changes: TERM is not dumb, and CI is not set. */
  get isInteractive(): boolean {
    return process.env.TERM !== 'dumb' && !process.env.CI;
  },
  /** Whether npx started this; npm says so. */
  isNpx: process.env.npm_command === 'exec',
} as const;
