import { readdirSync, readFileSync } from 'node:fs';
import { SandboxError } from '../errors.ts';

const O_CLOEXEC = 0o2000000;

/**
 * Descriptors above standard error that every program this process starts is handed: what it was itself
 * started with (Node closes only those up to the first gap), and what native code opened without closing it
 * on exec. Node's own files are not among them. Throws SandboxError where the kernel hides them from the
 * process itself.
 */
export function inheritableFiles(): number[] {
  try {
    return readdirSync('/proc/self/fd')
      .map(Number)
      .filter((fd) => fd > 2 && isInheritable(fd));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    throw new SandboxError(
      'sandbox: a process that has changed its user cannot see its own open files, which boxes could inherit; ' +
        'start it as that user',
    );
  }
}

function isInheritable(fd: number): boolean {
  try {
    const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));
    return flags !== null && (Number.parseInt(flags[1], 8) & O_CLOEXEC) === 0;
  } catch (error) {
    // Closed meanwhile, as the listing itself was.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
