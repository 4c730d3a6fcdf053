import { closeSync, constants, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { O_WRONLY, O_RDWR, O_CREAT, O_APPEND, O_NOCTTY } = constants;
const stderr = 2;

/**
 * Runs, synchronously, what prints on standard error beneath JavaScript, and drops the lines that `isNoise`
 * knows. All others are written when it ends or throws.
 *
 * Node cannot duplicate a descriptor: standard error is opened a second time and comes back under its number.
 * Where that would be another place of the same file, or cannot be, everything is printed as it comes: off
 * Linux, to a socket, and to a file that is not appended to.
 */
export function withoutNoise<T>(isNoise: (line: string) => boolean, run: () => T): T {
  if (!canReopen()) return run();
  const folder = mkdtempSync(join(tmpdir(), 'flex-stderr-'));
  const file = join(folder, 'text');
  const kept = openSync(`/proc/self/fd/${stderr}`, O_WRONLY | O_APPEND | O_NOCTTY);
  try {
    putAtStderr(file, O_RDWR | O_CREAT | O_APPEND);
    return run();
  } finally {
    putAtStderr(`/proc/self/fd/${kept}`, O_WRONLY | O_APPEND | O_NOCTTY);
    closeSync(kept);
    const lines = readFileSync(file, 'utf8').split('\n');
    rmSync(folder, { recursive: true });
    const told = lines.filter((line) => !isNoise(line)).join('\n');
    if (told !== '') process.stderr.write(told);
  }
}

/** Opens a file under the number of standard error: the lowest that is free. */
function putAtStderr(path: string, flags: number): void {
  closeSync(stderr);
  if (openSync(path, flags) !== stderr) throw new Error('standard error was closed while it was redirected');
}

function canReopen(): boolean {
  if (process.platform !== 'linux') return false;
  const stats = fstatSync(stderr);
  if (stats.isFIFO() || process.stderr.isTTY) return true;
  const [, flags = '0'] = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${stderr}`, 'utf8')) ?? [];
  return stats.isFile() && (Number.parseInt(flags, 8) & O_APPEND) !== 0;
}
