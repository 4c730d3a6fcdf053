import { SandboxError } from '../errors.ts';
import { type Architecture, auditArch, conditional, denied, firstUnknown, ignored } from './system-calls.ts';

/** One classic BPF instruction, linux/filter.h's sock_filter. */
export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

// Offsets in linux/seccomp.h's seccomp_data: nr, arch, instruction pointer, six 64-bit arguments.
const number = 0;
const arch = 4;
/**
 * The low half of argument i; both architectures are little endian, and the kernel reads these as 32 bits.
 */
const argument = (i: number) => 16 + 8 * i;

const allow = 0x7fff0000;
const killProcess = 0x80000000;
const fail = (errno: number) => 0x00050000 | errno;
const EPERM = 1;
const EINVAL = 22;
const ENOTTY = 25;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
/** Says that the call succeeded, which was not made. */
const pretend = fail(0);

const load = (offset: number): Instruction => ({ code: 0x20, jt: 0, jf: 0, k: offset });
const masked = (bits: number): Instruction => ({ code: 0x54, jt: 0, jf: 0, k: bits });
const give = (verdict: number): Instruction => ({ code: 0x06, jt: 0, jf: 0, k: verdict >>> 0 });
/** Goes on with the next instruction where the condition holds, else skips `skip` of them. */
const unless =
  (code: number) =>
  (k: number, skip: number): Instruction => ({ code, jt: 0, jf: skip, k: k >>> 0 });
const whenEqual = unless(0x15);
const whenAtLeast = unless(0x35);
const whenAnyBit = unless(0x45);

const AF_UNIX = 1;
const x32Bit = 0x40000000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const newNamespaces =
  0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000;
/** Among unshare's flags only: in clone's this bit belongs to the exit signal. */
const CLONE_NEWTIME = 0x80;
const MAP_HUGETLB = 0x40000;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
/** Second byte of what ioctl is asked of a terminal, a pipe or any open file, and of a socket. */
const ioctlGroups = [0x5400, 0x8900];
const SOL_SOCKET = 1;
/** SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE and SO_RCVBUFFORCE. */
const bufferSizes = [7, 8, 32, 33];
/** SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF and SO_ATTACH_REUSEPORT_EBPF. */
const attachments = [26, 50, 51, 52];
/** F_SETLK, F_SETLKW, F_OFD_SETLK and F_OFD_SETLKW. */
const locks = [6, 7, 37, 38];
/** F_DUPFD_QUERY, F_DUPFD_CLOEXEC, F_GETPIPE_SZ and F_GET_SEALS: all that is allowed of Linux's own. */
const ownCommands = [1027, 1030, 1032, 1034];
const F_LINUX_SPECIFIC_BASE = 1024;
/** MADV_WILLNEED, MERGEABLE, COLD, PAGEOUT and COLLAPSE, which other processes could notice. */
const sharedAdvice = [3, 12, 20, 21, 25];
/** PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SCHED_CORE, PR_SET_MEMORY_MERGE and PR_FUTEX_HASH. */
const uncountedOptions = [22, 36, 62, 67, 78];

/**
 * The filter of system calls as instructions. Allowed unless named: `denied` fails with EPERM, `ignored`
 * succeeds without doing anything; and by their arguments
 * - sockets are AF_UNIX alone, and keep the size of their buffers whatever they are told;
 * - no new namespaces; clone3, whose flags a filter cannot see, fails with ENOSYS, at which C libraries fall
 *   back on clone;
 * - locks of files succeed and hold nobody; leases, notices and hints, which are the file's, are refused;
 * - ioctl asks terminals, pipes and sockets alone, and pushes no input into a terminal;
 * - no huge pages of the machine's pool, and no advice on memory that others could notice;
 * - no filters, neither of calls nor of sockets, and no futex table of a size of its own, which the kernel
 *   keeps where nobody counts them; no processor core that is kept from others; an orphan becomes a child of
 *   the box's first process alone;
 * - preadv2 and pwritev2 take no flags (RWF_NOWAIT tells which files are in memory); sendfile, which would
 *   keep pages where nobody counts them, fails with EINVAL, at which programs copy.
 *
 * Calls that newer kernels add fail with ENOSYS. A call of another architecture or of x32 kills the process.
 * Throws SandboxError where there is no table for the architecture.
 */
export function seccompInstructions(architecture: string): Instruction[] {
  if (!Object.hasOwn(auditArch, architecture)) {
    throw new SandboxError(
      `sandbox: there is no seccomp table for ${architecture}; run on x86-64 or aarch64 Linux`,
    );
  }
  const name = architecture as Architecture;
  const call = conditional[name];
  const foreign = name === 'x64' ? [whenAtLeast(x32Bit, 1), give(killProcess)] : [];
  /** Decides a call by the low half of one of its arguments. */
  const by = (nr: number, i: number, ...decision: Instruction[]) => [
    whenEqual(nr, decision.length + 2),
    load(argument(i)),
    ...decision,
    give(allow),
  ];
  const among = (values: readonly number[], verdict: number) =>
    values.flatMap((value) => [whenEqual(value, 1), give(verdict)]);
  const anyBit = (mask: number, verdict: number) => [whenAnyBit(mask, 1), give(verdict)];
  const onlyUnix = [...among([AF_UNIX], allow), give(fail(EPERM))];
  return [
    load(arch),
    whenEqual(auditArch[name], 1),
    // Skips the kill below: a jump over one instruction.
    { code: 0x05, jt: 0, jf: 0, k: 1 },
    give(killProcess),
    load(number),
    ...foreign,
    whenAtLeast(firstUnknown, 1),
    give(fail(ENOSYS)),
    ...among(Object.values(denied[name]), fail(EPERM)),
    ...among(Object.values(ignored[name]), pretend),
    ...among([call.clone3], fail(ENOSYS)),
    ...among([call.sendfile], fail(EINVAL)),
    ...by(call.socket, 0, ...onlyUnix),
    ...by(call.socketpair, 0, ...onlyUnix),
    ...by(call.clone, 0, ...anyBit(newNamespaces, fail(EPERM))),
    ...by(call.unshare, 0, ...anyBit(newNamespaces | CLONE_NEWTIME, fail(EPERM))),
    ...by(call.mmap, 3, ...anyBit(MAP_HUGETLB, fail(EPERM))),
    ...by(call.madvise, 2, ...among(sharedAdvice, pretend)),
    ...by(call.prctl, 0, ...among(uncountedOptions, fail(EPERM))),
    ...by(call.preadv2, 5, ...among([0], allow), give(fail(EOPNOTSUPP))),
    ...by(call.pwritev2, 5, ...among([0], allow), give(fail(EOPNOTSUPP))),
    ...by(
      call.setsockopt,
      1,
      whenEqual(SOL_SOCKET, 2 * (bufferSizes.length + attachments.length) + 1),
      load(argument(2)),
      ...among(bufferSizes, pretend),
      ...among(attachments, fail(EPERM)),
    ),
    ...by(
      call.fcntl,
      1,
      ...among(locks, pretend),
      ...among(ownCommands, allow),
      whenAtLeast(F_LINUX_SPECIFIC_BASE, 1),
      give(fail(EPERM)),
    ),
    ...by(
      call.ioctl,
      1,
      ...among([TIOCSTI, TIOCLINUX], fail(EPERM)),
      masked(0xff00),
      ...among(ioctlGroups, allow),
      give(fail(ENOTTY)),
    ),
    give(allow),
  ];
}

/** The filter as the kernel reads it: eight bytes an instruction, little endian. */
export function seccompFilter(architecture: string): Buffer {
  const instructions = seccompInstructions(architecture);
  const bytes = Buffer.alloc(8 * instructions.length);
  for (const [i, { code, jt, jf, k }] of instructions.entries()) {
    bytes.writeUInt16LE(code, 8 * i);
    bytes.writeUInt8(jt, 8 * i + 2);
    bytes.writeUInt8(jf, 8 * i + 3);
    bytes.writeUInt32LE(k >>> 0, 8 * i + 4);
  }
  return bytes;
}
