import { lstatSync, readlinkSync, statSync } from 'node:fs';
import type { BoxOptions } from './box.ts';
import { gateFd } from './box-process.ts';
import { constantFile } from './constant-file.ts';
import { type View, viewOf } from './view.ts';

/** How bubblewrap is started: under an unused user id, by the ordinary user as such, or as real root. */
export type Mode = 'bubblewrap' | 'bubblewrap-as-root';

/** File descriptor of the seccomp filter; files follow it. */
const filterFd = gateFd + 1;
const firstFileFd = filterFd + 1;

/** User and group id of a lane outside, when the harness runs as root. */
export const uidOf = (lane: number) => 60_000 + lane;
/** The id inside, when the box has a user namespace. */
const insideUid = 65534;
const insideIds = ['--uid', String(insideUid), '--gid', String(insideUid)];

/** How many processors a box says there are, whatever the machine has. */
export const boxProcessors = 4;

/**
 * The command line that makes a box: every namespace new, user namespaces disabled, no capabilities, what
 * toolchains read of /usr and /etc bound read-only, bounded /tmp and /dev/shm, no terminals, all else
 * read-only or absent; then resource limits, then the gate, then the command. Needs the filter and
 * `boxFiles` at the descriptors above.
 */
export function boxCommand(bwrap: string, mode: Mode, options: BoxOptions): string[] {
  const { command, reads = [], hidden = [], limits, lane } = options;
  const scratch = ['--size', String(limits.fileBytes), '--perms', '1777'];
  return [
    bwrap,
    ...['--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--unshare-cgroup-try'],
    ...(mode === 'bubblewrap'
      ? ['--unshare-user', '--disable-userns', ...insideIds, '--cap-drop', 'ALL']
      : asRoot),
    ...['--die-with-parent', '--new-session', '--hostname', 'box', '--clearenv'],
    ...Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]),
    ...machineFiles(viewOf(reads, hidden)),
    ...['--proc', '/proc', '--dev', '/dev'],
    // Counters of the whole machine.
    ...[...emptyFolder('/proc/sys'), '--remount-ro', '/proc'],
    // The machine has as many as all boxes together may have.
    ...emptyFolder('/dev/pts'),
    ...[...scratch, '--tmpfs', '/tmp', ...scratch, '--tmpfs', '/dev/shm'],
    ...Object.keys(boxFiles(mode, options)).flatMap((path, i) => [
      ...['--perms', '0444', '--ro-bind-data', String(firstFileFd + i), path],
    ]),
    ...['--symlink', 'online', `${processorsFolder}/possible`],
    ...['--symlink', 'online', `${processorsFolder}/present`],
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

const processorsFolder = '/sys/devices/system/cpu';

/** The files of a box that are not the machine's, by path: those given, and what is said about the box. */
export function boxFiles(mode: Mode, { files, lane }: BoxOptions): Record<string, string | Uint8Array> {
  const id = mode === 'bubblewrap' ? insideUid : uidOf(lane);
  const own = ownFiles.get(id) ?? ownFilesOf(id);
  ownFiles.set(id, own);
  return { ...own, ...files };
}

const ownFiles = new Map<number, Readonly<Record<string, Uint8Array>>>();

function ownFilesOf(id: number): Record<string, Uint8Array> {
  const processors = Array.from({ length: boxProcessors }, (_, i) => `cpu${i}${' 0'.repeat(10)}\n`);
  return {
    '/etc/passwd': constantFile(`nobody:x:${id}:${id}:nobody:/tmp:/bin/sh\n`),
    '/etc/group': constantFile(`nogroup:x:${id}:\n`),
    [`${processorsFolder}/online`]: constantFile(`0-${boxProcessors - 1}\n`),
    '/proc/stat': constantFile(`cpu ${' 0'.repeat(10)}\n${processors.join('')}`),
  };
}

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
    ...['--core=0', '--memlock=0', '--msgqueue=0', '--sigpending=1024', '--'],
  ];
}

/** Starts a command, without the gate's descriptor, when its line is answered. */
const gate = ['/bin/sh', '-c', `echo >&${gateFd} && read -r _ <&${gateFd} && exec "$@" ${gateFd}>&-`, 'sh'];

/** A view, and the links that lead into /usr, or their folders, where /usr is not merged. */
function machineFiles({ shown, masked }: View): string[] {
  const roots = ['/bin', '/lib', '/lib64', '/sbin'].flatMap((path) => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found) return [];
    return found.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
  });
  const folders = [...new Set(shown.flatMap(above))].sort();
  return [
    ...folders.flatMap((path) => ['--perms', '0755', '--dir', path]),
    ...shown.flatMap((path) => ['--ro-bind', path, path]),
    ...roots,
    ...masked.flatMap((path) =>
      statSync(path).isDirectory() ? emptyFolder(path) : ['--ro-bind', '/dev/null', path],
    ),
  ];
}

/** The folders that a path lies in, `/` left out: for `/usr/lib/jvm`, `/usr` and `/usr/lib`. */
const above = (path: string) =>
  [...path.slice(1).matchAll(/\//g)].map(({ index }) => path.slice(0, index + 1));

const emptyFolder = (path: string) => ['--perms', '0555', '--tmpfs', path, '--remount-ro', path];
