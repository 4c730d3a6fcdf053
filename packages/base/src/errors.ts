/** A configuration or an argument that is wrong: says which key, where, and what would be right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** A file whose content is wrong: says which file (and line), what is wrong, and what would be right. */
export class DataError extends Error {
  override readonly name = 'DataError';
}

/**
 * No safe sandbox can be made here. The message is one line that names the cure; commands exit with code 3.
 */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
}
