import { SandboxError } from '../errors.ts';
import { type Architecture, auditArch, conditional, denied } from './system-calls.ts';

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
const ENOSYS = 38;

const load = (offset: number): Instruction => ({ code: 0x20, jt: 0, jf: 0, k: offset });
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
const MAP_SHARED = 0x01;
const MAP_ANONYMOUS = 0x20;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

/**
 * The filter of system calls as instructions. Allowed unless named: sockets are AF_UNIX alone; no new
 * namespaces; no pushing input into a terminal; no anonymous shared memory, whose pages stay when no process
 * has them resident; `denied` fails with EPERM; clone3, whose flags a filter cannot see, fails with ENOSYS,
 * at which C libraries fall back on clone. A call of another architecture or of x32 kills the process. Throws
 * SandboxError where there is no table for the architecture.
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
  const onlyUnix = (nr: number) => [
    whenEqual(nr, 4),
    load(argument(0)),
    whenEqual(AF_UNIX, 1),
    give(allow),
    give(fail(EPERM)),
  ];
  const withoutBits = (nr: number, mask: number) => [
    whenEqual(nr, 4),
    load(argument(0)),
    whenAnyBit(mask, 1),
    give(fail(EPERM)),
    give(allow),
  ];
  return [
    load(arch),
    whenEqual(auditArch[name], 1),
    // Skips the kill below: a jump over one instruction.
    { code: 0x05, jt: 0, jf: 0, k: 1 },
    give(killProcess),
    load(number),
    ...foreign,
    ...Object.values(denied[name]).flatMap((nr) => [whenEqual(nr, 1), give(fail(EPERM))]),
    whenEqual(call.clone3, 1),
    give(fail(ENOSYS)),
    ...onlyUnix(call.socket),
    ...onlyUnix(call.socketpair),
    ...withoutBits(call.clone, newNamespaces),
    ...withoutBits(call.unshare, newNamespaces | CLONE_NEWTIME),
    whenEqual(call.mmap, 5),
    load(argument(3)),
    whenAnyBit(MAP_ANONYMOUS, 2),
    whenAnyBit(MAP_SHARED, 1),
    give(fail(EPERM)),
    give(allow),
    whenEqual(call.ioctl, 5),
    load(argument(1)),
    whenEqual(TIOCSTI, 1),
    give(fail(EPERM)),
    whenEqual(TIOCLINUX, 1),
    give(fail(EPERM)),
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
