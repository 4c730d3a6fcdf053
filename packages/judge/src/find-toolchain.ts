import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { promisify } from 'node:util';
import { SandboxError } from './errors.ts';
import type { Language } from './language.ts';
import { boxPath } from './sandbox/bubblewrap.ts';
import { isShown } from './sandbox/view.ts';

const executeFile = promisify(execFile);

/** What to look for. */
export type ToolchainSpec = Pick<Language, 'name' | 'packages' | 'programs' | 'reads' | 'version'>;

/** What a look for a toolchain found. */
export interface FoundToolchain {
  /** As people write it: `C++`. */
  readonly name: string;
  /** Versions of its programs and libraries; null where it cannot be used. */
  readonly version: string | null;
  /** Why it cannot be used; null where it can. */
  readonly missing: string | null;
  /** What installs it on Debian. */
  readonly install: string;
}

/** Looks for a toolchain where boxes do: its programs first, then its version. */
export async function findToolchain(spec: ToolchainSpec): Promise<FoundToolchain> {
  const { name, packages } = spec;
  const base = { name, install: `apt-get install ${packages}` };
  const missing = (why: string): FoundToolchain => ({ ...base, version: null, missing: why });
  for (const program of spec.programs) {
    const why = whyNotInBox(program, spec.reads ?? []);
    if (why !== null) return missing(why);
  }
  try {
    const version = await askVersion(spec.version());
    return version === '' ? missing('it tells no version') : { ...base, version, missing: null };
  } catch (error) {
    if (error instanceof SandboxError) return missing(error.message.replace(/^sandbox: /, ''));
    const { stderr, message } = error as Error & { stderr?: string };
    if (stderr === undefined) throw error;
    return missing((stderr.trim() || message).split('\n')[0]);
  }
}

/** The first lines that the commands print, run in the way of a box. */
async function askVersion(commands: string): Promise<string> {
  const { stdout } = await executeFile('/bin/sh', ['-c', commands], {
    cwd: '/',
    env: { PATH: boxPath, LANG: 'C.UTF-8' },
    timeout: 60_000,
  });
  const lines = stdout.trim().split('\n');
  return lines.map((line) => line.replace(/^Version | {2}Copyright.*/, '')).join(', ');
}

/** Boxes do not see all of /usr. */
function whyNotInBox(program: string, reads: readonly string[]): string | null {
  const found = boxPath
    .split(delimiter)
    .map((folder) => resolve(folder, program))
    .find((path) => existsSync(path));
  if (found === undefined) return `${program} is not in ${boxPath.replaceAll(delimiter, ', ')}`;
  const real = realpathSync(found);
  return isShown(real, reads) ? null : `${found} leads to ${real}, which boxes do not see`;
}
