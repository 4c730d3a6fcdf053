import { lstatSync, readdirSync, readlinkSync } from 'node:fs';
import type { BoxOptions } from './box.ts';
import { gateFd } from './box-process.ts';

/** How bubblewrap is started: under an unused user id, by the ordinary user as such, or as real root. */
export type Mode = 'bubblewrap' | 'bubblewrap-as-root';

/** File descriptor of the seccomp filter; files follow it. */
const filterFd = gateFd + 1;
const firstFileFd = filterFd + 1;

/** User and group id of a lane outside, when the harness runs as root. */
export const uidOf = (lane: number) => 60_000 + lane;
/** The id inside, when the box has a user namespace. */
const insideUid = '65534';

/**
 * The command line that makes a box: every namespace new, user namespaces disabled, no capabilities, /usr and
 * the few parts of /etc that toolchains read bound read-only, bounded /tmp and /dev/shm, all else read-only
 * or absent; then resource limits, then the gate, then the command. Needs the filter and the files at the
 * descriptors above.
 */
export function boxCommand(bwrap: string, mode: Mode, options: BoxOptions): string[] {
  const { command, files = {}, configuration = [], limits, lane } = options;
  const scratch = ['--size', String(limits.fileBytes), '--perms', '1777'];
  return [
    bwrap,
    ...['--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--unshare-cgroup-try'],
    ...(mode === 'bubblewrap'
      ? ['--unshare-user', '--disable-userns', '--uid', insideUid, '--gid', insideUid, '--cap-drop', 'ALL']
      : asRoot),
    ...['--die-with-parent', '--new-session', '--hostname', 'box', '--clearenv'],
    ...Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]),
    ...systemFolders(configuration),
    ...['--proc', '/proc', '--remount-ro', '/proc', '--dev', '/dev'],
    // Mapped as shared, /dev/zero is memory that no limit counts.
    ...['--dev-bind', '/dev/null', '/dev/zero'],
    ...[...scratch, '--tmpfs', '/tmp', ...scratch, '--tmpfs', '/dev/shm'],
    ...Object.keys(files).flatMap((path, i) => [
      ...['--perms', '0444', '--ro-bind-data', String(firstFileFd + i), path],
    ]),
    ...['--remount-ro', '/dev', '--remount-ro', '/', '--chdir', '/tmp', '--seccomp', String(filterFd), '--'],
    ...(mode === 'bubblewrap' ? [] : dropRoot(lane)),
    ...resourceLimits(options),
    ...gate,
    ...command,
  ];
}

/** Where programs are found in a box. */
export const boxPath = '/usr/local/bin:/usr/bin:/bin';

/** All that programs see of an environment. There is no time zone but UTC. */
const environment = { PATH: boxPath, LANG: 'C.UTF-8', HOME: '/tmp' };

/** Just the capabilities that setpriv needs to give up all of them. */
const asRoot = [
  ...['--cap-drop', 'ALL'],
  ...['CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP'].flatMap((name) => ['--cap-add', name]),
];

function dropRoot(lane: number): string[] {
  const id = String(uidOf(lane));
  return [
    '/usr/bin/setpriv',
    ...['--reuid', id, '--regid', id, '--clear-groups', '--no-new-privs'],
    ...['--inh-caps', '-all', '--ambient-caps', '-all', '--bounding-set', '-all', '--'],
  ];
}

function resourceLimits({ limits }: BoxOptions): string[] {
  const { addressSpaceBytes, cpuSeconds, processes, openFiles, fileBytes } = limits;
  return [
    '/usr/bin/prlimit',
    ...(addressSpaceBytes === null ? [] : [`--as=${addressSpaceBytes}`]),
    // The poll stops a box at its processor seconds; this stands behind it.
    `--cpu=${Number.isFinite(cpuSeconds) ? Math.ceil(cpuSeconds) + 2 : 'unlimited'}`,
    `--nproc=${processes}`,
    `--nofile=${openFiles}`,
    `--fsize=${fileBytes}`,
    ...['--core=0', '--memlock=0', '--msgqueue=0', '--'],
  ];
}

/** Starts a command, without the gate's descriptor, when its line is answered. */
const gate = ['/bin/sh', '-c', `echo >&${gateFd} && read -r _ <&${gateFd} && exec "$@" ${gateFd}>&-`, 'sh'];

/** /usr, the links that lead into it (or their folders, where /usr is not merged), and parts of /etc. */
function systemFolders(configuration: readonly string[]): string[] {
  const java = readdirSync('/etc').filter((name) => /^java-\d+/.test(name));
  const etc = ['alternatives', 'ld.so.cache', ...java, ...configuration].map((name) => `/etc/${name}`);
  const roots = ['/bin', '/lib', '/lib64', '/sbin'].flatMap((path) => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found) return [];
    return found.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
  });
  return ['--ro-bind', '/usr', '/usr', ...roots, ...etc.flatMap((path) => ['--ro-bind-try', path, path])];
}
