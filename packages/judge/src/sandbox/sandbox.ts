import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { SandboxError } from '../errors.ts';
import type { Box, BoxOptions, Sandbox } from './box.ts';
import { accountingOf, groupParents } from './box-meter.ts';
import { startBox } from './box-process.ts';
import { boxCommand, boxFiles, type Mode, uidOf } from './bubblewrap.ts';
import { constantFile } from './constant-file.ts';
import type { GroupParents } from './control-groups.ts';
import { probe, uncountedMemory } from './probe.ts';
import { seccompFilter } from './seccomp.ts';

const install = 'apt-get install bubblewrap';

let opened: Promise<Sandbox> | null = null;

/**
 * The safest sandbox this machine allows, found once a process by making a box and looking at it from inside:
 * bubblewrap under an unused user id (as the ordinary user where the harness is one), else, for root where
 * user namespaces are forbidden, bubblewrap that gives up root inside. Throws SandboxError, one line that
 * names the cure, where neither holds what it must.
 */
export function openSandbox(): Promise<Sandbox> {
  opened ??= findSandbox();
  return opened;
}

async function findSandbox(): Promise<Sandbox> {
  if (process.platform !== 'linux') {
    throw new SandboxError(`sandbox: needs Linux with bubblewrap, this is ${process.platform}`);
  }
  const filter = seccompFilter(process.arch);
  const bwrap = findBubblewrap();
  const isRoot = process.getuid?.() === 0;
  const modes: Mode[] = isRoot ? ['bubblewrap', 'bubblewrap-as-root'] : ['bubblewrap'];
  const complaints: string[] = [];
  for (const mode of modes) {
    const sandbox = bubblewrapSandbox(bwrap, mode, filter);
    const wrong = await probe(sandbox);
    if (wrong.length === 0) return sandbox;
    complaints.push(...wrong);
  }
  throw new SandboxError(
    `sandbox: no safe box can be made: ${[...new Set(complaints)].join('; ')}. ${cure(complaints)}`,
  );
}

/** Boxes by bubblewrap, in a mode that the probe has yet to find safe. */
export function bubblewrapSandbox(
  bwrap: string,
  mode: Mode,
  filter: Buffer,
  groups: GroupParents = groupParents(),
): Sandbox {
  const isRoot = process.getuid?.() === 0;
  const rules = constantFile(filter);
  return {
    mode,
    accounting: accountingOf(groups),
    open: (options: BoxOptions): Box =>
      startBox(
        {
          command: boxCommand(bwrap, mode, options),
          uid: isRoot && mode === 'bubblewrap' ? uidOf(options.lane) : undefined,
          data: [rules, ...Object.values(boxFiles(mode, options))],
          groups,
        },
        options,
      ),
  };
}

/** Boxes that see none of these files and folders of the machine, data and results of an evaluation. */
export function hiding(sandbox: Sandbox, hidden: readonly string[]): Sandbox {
  return {
    ...sandbox,
    open: (options) => sandbox.open({ ...options, hidden: [...(options.hidden ?? []), ...hidden] }),
  };
}

/** The first bwrap on the PATH. Throws SandboxError where there is none. */
export function findBubblewrap(path = process.env.PATH ?? ''): string {
  for (const folder of path.split(delimiter).filter(Boolean)) {
    const file = join(folder, 'bwrap');
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch (error) {
      if (!['ENOENT', 'EACCES', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  throw new SandboxError(`sandbox: bubblewrap is not installed; install it with: ${install}`);
}

/** What the machine's administrator can do about it. */
function cure(complaints: readonly string[]): string {
  if (complaints.includes(uncountedMemory)) return 'In a container, start it with: --cap-add SYS_PTRACE.';
  if (!complaints.some((line) => /namespace|uid map|permission|not permitted/i.test(line))) {
    return 'Nothing was run.';
  }
  if (isOne('/proc/sys/kernel/apparmor_restrict_unprivileged_userns')) {
    return 'Allow it in AppArmor: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile with userns for bwrap.';
  }
  if (isZero('/proc/sys/user/max_user_namespaces')) {
    return 'Allow user namespaces: sysctl user.max_user_namespaces=10000.';
  }
  return 'In a container, start it with: --security-opt seccomp=unconfined --security-opt systempaths=unconfined.';
}

const isOne = (path: string) => settingOf(path) === '1';
const isZero = (path: string) => settingOf(path) === '0';

/** A kernel setting; empty where this kernel has none of that name. */
function settingOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
