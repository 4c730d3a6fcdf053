/**
 * No safe sandbox can be made here. The message is one line that names the cure; commands exit with code 3.
 */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
}

/** The harness itself failed, never the candidate: a judge's own process died, a reply made no sense. */
export class HarnessError extends Error {
  override readonly name = 'HarnessError';
}

/** An argument that is wrong: says which, what came, and what would be right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** A file whose content is wrong: says which file (and line), what is wrong, and what would be right. */
export class DataError extends Error {
  override readonly name = 'DataError';
}
