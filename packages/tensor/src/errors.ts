/** Inputs whose shapes an op cannot take. The message names the op, what it needs and what came. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
}

/** Inputs whose element types an op cannot take. */
export class DTypeError extends Error {
  override readonly name = 'DTypeError';
}

/** The device is missing, lost, or too small for what was asked. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
}

/** A configuration or an argument that is wrong: says which key, where, and what would be right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** A file whose content is wrong: says which file (and line), what is wrong, and what would be right. */
export class DataError extends Error {
  override readonly name = 'DataError';
}
