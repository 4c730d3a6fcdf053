import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SandboxError } from '../errors.ts';
import { type Instruction, seccompFilter, seccompInstructions } from './seccomp.ts';
import { type Architecture, auditArch, conditional, denied, firstUnknown, ignored } from './system-calls.ts';

/** All calls that are not simply allowed, by name. */
const decidedIn = (name: Architecture) => ({ ...denied[name], ...ignored[name], ...conditional[name] });

const architectures: readonly Architecture[] = ['x64', 'arm64'];
const allow = 0x7fff0000;
const kill = 0x80000000;
const EPERM = 0x00050001;
const EINVAL = 0x00050016;
const ENOTTY = 0x00050019;
const ENOSYS = 0x00050026;
const EOPNOTSUPP = 0x0005005f;
/** Success, of a call that is not made. */
const pretend = 0x00050000;

interface Call {
  readonly arch: number;
  readonly nr: number;
  /** Low and high halves of the six arguments. */
  readonly words?: readonly number[];
}

/** What the kernel would do: runs classic BPF over seccomp_data. Throws where the kernel would refuse it. */
function verdictOn(instructions: readonly Instruction[], { arch, nr, words = [] }: Call): number {
  const data = [nr, arch, 0, 0, ...words].map((word) => word >>> 0);
  let accumulator = 0;
  for (let at = 0; at < instructions.length; at++) {
    const { code, jt, jf, k } = instructions[at];
    if (code === 0x20) {
      if (k % 4 !== 0 || k >= 64) throw new RangeError(`loads from ${k}`);
      accumulator = data[k / 4] ?? 0;
    } else if (code === 0x06) return k;
    else if (code === 0x05) at += k;
    else if (code === 0x15) at += accumulator === k ? jt : jf;
    else if (code === 0x35) at += accumulator >= k ? jt : jf;
    else if (code === 0x45) at += (accumulator & k) !== 0 ? jt : jf;
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else throw new RangeError(`unknown instruction ${code}`);
  }
  throw new RangeError('runs past the end');
}

const word = fc.nat({ max: 0xffffffff });
const arguments_ = fc.array(word, { minLength: 12, maxLength: 12 });
/** Arguments, one of them with this low half. */
const withArgument = (i: number, low: number, words: readonly number[]) => words.with(2 * i, low >>> 0);

describe.each(architectures)('the filter of %s', (name) => {
  const instructions = seccompInstructions(name);
  const own = auditArch[name];
  const calls = conditional[name];
  const decide = (nr: number, words?: readonly number[]) => verdictOn(instructions, { arch: own, nr, words });

  test('is short enough for the kernel, jumps only inside itself, and ends', () => {
    expect(instructions.length).toBeLessThan(4096);
    for (const [at, { code, jt, jf, k }] of instructions.entries()) {
      for (const offset of code === 0x05 ? [k] : [jt, jf]) {
        expect(Number.isInteger(offset) && offset >= 0 && offset <= 255).toBe(true);
        // The last instruction is the only one that nothing has to follow.
        expect(at + (code === 0x06 ? 0 : offset + 1)).toBeLessThan(instructions.length);
      }
    }
  });

  test('is written as the kernel reads it', () => {
    const bytes = seccompFilter(name);
    expect(bytes).toHaveLength(8 * instructions.length);
    const read = instructions.map((_, i) => ({
      code: bytes.readUInt16LE(8 * i),
      jt: bytes[8 * i + 2],
      jf: bytes[8 * i + 3],
      k: bytes.readUInt32LE(8 * i + 4),
    }));
    expect(read).toEqual(instructions);
  });

  test('a call of another architecture kills the process', () => {
    const call = fc.record({ arch: word.filter((arch) => arch !== own), nr: word, words: arguments_ });
    const others = Object.values(auditArch).filter((arch) => arch !== own);
    fc.assert(fc.property(call, (made) => void expect(verdictOn(instructions, made)).toBe(kill)));
    for (const arch of [...others, 0x40000003, 0x40000028]) {
      for (const nr of Object.values(calls)) expect(verdictOn(instructions, { arch, nr })).toBe(kill);
    }
  });

  test('calls that are denied fail with EPERM, whatever their arguments', () => {
    for (const nr of Object.values(denied[name])) {
      fc.assert(
        fc.property(arguments_, (words) => void expect(decide(nr, words)).toBe(EPERM)),
        { numRuns: 5 },
      );
    }
  });

  test('calls that are ignored succeed, whatever their arguments', () => {
    for (const nr of Object.values(ignored[name])) {
      fc.assert(
        fc.property(arguments_, (words) => void expect(decide(nr, words)).toBe(pretend)),
        { numRuns: 5 },
      );
    }
  });

  test.each(['socket', 'socketpair'])('%s makes AF_UNIX sockets alone', (call) => {
    fc.assert(
      fc.property(arguments_, fc.nat({ max: 50 }), (words, family) => {
        expect(decide(calls[call], withArgument(0, family, words))).toBe(family === 1 ? allow : EPERM);
        expect(decide(calls[call], words)).toBe(words[0] === 1 ? allow : EPERM);
      }),
    );
    expect(decide(calls[call], withArgument(0, 1, Array(12).fill(0xffffffff)))).toBe(allow);
  });

  // linux/sched.h
  const namespaces = {
    NEWNS: 0x00020000,
    NEWCGROUP: 0x02000000,
    NEWUTS: 0x04000000,
    NEWIPC: 0x08000000,
    NEWUSER: 0x10000000,
    NEWPID: 0x20000000,
    NEWNET: 0x40000000,
  };
  const anyNamespace = Object.values(namespaces).reduce((all, flag) => all | flag, 0);
  test.each(['clone', 'unshare'])('%s makes no namespace of any kind', (call) => {
    for (const flag of Object.values(namespaces)) {
      fc.assert(
        fc.property(arguments_, (words) => {
          expect(decide(calls[call], withArgument(0, words[0] | flag, words))).toBe(EPERM);
        }),
        { numRuns: 20 },
      );
    }
    const harmless = ~(anyNamespace | (call === 'unshare' ? 0x80 : 0));
    fc.assert(
      fc.property(arguments_, (words) => {
        expect(decide(calls[call], withArgument(0, words[0] & harmless, words))).toBe(allow);
      }),
    );
  });
  test('unshare makes no time namespace; the same bit of clone is part of a signal', () => {
    expect(decide(calls.unshare, withArgument(0, 0x80, Array(12).fill(0)))).toBe(EPERM);
    expect(decide(calls.clone, withArgument(0, 0x80, Array(12).fill(0)))).toBe(allow);
  });
  test('threads and forks, as C libraries make them, are allowed', () => {
    for (const flags of [17, 0x3d0f00, 0x01200011, 0x4111]) {
      expect(decide(calls.clone, withArgument(0, flags, Array(12).fill(0)))).toBe(allow);
    }
  });
  test('clone3 is said not to exist', () => {
    fc.assert(fc.property(arguments_, (words) => void expect(decide(calls.clone3, words)).toBe(ENOSYS)));
  });

  test('mmap takes no huge pages of the machine; anonymous shared memory is allowed', () => {
    const huge = 0x40000;
    fc.assert(
      fc.property(arguments_, (words) => {
        expect(decide(calls.mmap, withArgument(3, words[6] | huge, words))).toBe(EPERM);
        expect(decide(calls.mmap, withArgument(3, words[6] & ~huge, words))).toBe(allow);
      }),
    );
    const sharedAnonymous = 0x21;
    expect(decide(calls.mmap, withArgument(3, sharedAnonymous, Array(12).fill(0)))).toBe(allow);
  });

  test('locks of files hold nobody, and of what Linux adds nothing is left in the file', () => {
    // asm-generic/fcntl.h and linux/fcntl.h
    const setLocks = [6, 7, 37, 38];
    const harmless = [1027, 1030, 1032, 1034];
    for (const command of setLocks) {
      expect(decide(calls.fcntl, withArgument(1, command, Array(12).fill(0xffffffff)))).toBe(pretend);
    }
    for (let command = 0; command < 2048; command++) {
      const decided = decide(calls.fcntl, withArgument(1, command, Array(12).fill(0)));
      if (command >= 1024) expect(decided).toBe(harmless.includes(command) ? allow : EPERM);
      else expect(decided).toBe(setLocks.includes(command) ? pretend : allow);
    }
  });

  test('socket buffers keep their size, and sockets take no filters', () => {
    fc.assert(
      fc.property(arguments_, fc.nat({ max: 100 }), fc.nat({ max: 3 }), (words, option, level) => {
        const given = withArgument(2, option, withArgument(1, level, words));
        const isSize = level === 1 && [7, 8, 32, 33].includes(option);
        const isFilter = level === 1 && [26, 50, 51, 52].includes(option);
        expect(decide(calls.setsockopt, given)).toBe(isSize ? pretend : isFilter ? EPERM : allow);
      }),
      { numRuns: 2000 },
    );
  });

  test('advice on memory that others could notice is not taken', () => {
    for (let advice = 0; advice < 128; advice++) {
      const decided = decide(calls.madvise, withArgument(2, advice, Array(12).fill(0)));
      expect(decided, `advice ${advice}`).toBe([3, 12, 20, 21, 25].includes(advice) ? pretend : allow);
    }
  });

  test('prctl keeps no filter, futex table, orphan or processor core for a process', () => {
    for (let option = 0; option < 128; option++) {
      const decided = decide(calls.prctl, withArgument(0, option, Array(12).fill(0xffffffff)));
      expect(decided, `option ${option}`).toBe([22, 36, 62, 67, 78].includes(option) ? EPERM : allow);
    }
  });

  test.each(['preadv2', 'pwritev2'])('%s takes no flags', (call) => {
    fc.assert(
      fc.property(arguments_, word, (words, flags) => {
        const expected = flags === 0 ? allow : EOPNOTSUPP;
        expect(decide(calls[call], withArgument(5, flags, words))).toBe(expected);
      }),
    );
    expect(decide(calls[call], withArgument(5, 0, Array(12).fill(0xffffffff)))).toBe(allow);
  });

  test('sendfile fails as where files cannot be sent', () => {
    fc.assert(fc.property(arguments_, (words) => void expect(decide(calls.sendfile, words)).toBe(EINVAL)));
  });

  test('ioctl asks terminals and sockets, no file systems, and pushes no input into a terminal', () => {
    fc.assert(
      fc.property(arguments_, fc.nat({ max: 0xffff }), (words, low) => {
        const request = ((words[2] & 0xffff0000) | low) >>> 0;
        const isKnown = [0x54, 0x89].includes((request >> 8) & 0xff);
        const isInput = [0x5412, 0x541c].includes(request);
        const expected = isInput ? EPERM : isKnown ? allow : ENOTTY;
        expect(decide(calls.ioctl, withArgument(1, request, words))).toBe(expected);
      }),
      { numRuns: 1000 },
    );
    const requests = { TIOCSTI: 0x5412, TIOCLINUX: 0x541c, TCGETS: 0x5401, FIONREAD: 0x541b };
    const decided = Object.values(requests).map((request) =>
      decide(calls.ioctl, withArgument(1, request, Array(12).fill(0))),
    );
    expect(decided).toEqual([EPERM, EPERM, allow, allow]);
    // FS_IOC_ADD_ENCRYPTION_KEY, FS_IOC_SETFLAGS, FICLONE and RNDGETENTCNT.
    for (const request of [0xc0506617, 0x40086602, 0x40049409, 0x80045200]) {
      expect(decide(calls.ioctl, withArgument(1, request, Array(12).fill(0)))).toBe(ENOTTY);
    }
  });

  test('every other call is allowed, and none that nobody knows', () => {
    const decided = new Set(Object.values(decidedIn(name)));
    for (let nr = 0; nr < firstUnknown; nr++) {
      if (!decided.has(nr)) expect(decide(nr, Array(12).fill(0xffffffff)), `call ${nr}`).toBe(allow);
    }
    const unknown = fc.integer({ min: firstUnknown, max: 0x3fffffff });
    fc.assert(fc.property(unknown, arguments_, (nr, words) => void expect(decide(nr, words)).toBe(ENOSYS)));
    expect(decide(firstUnknown)).toBe(ENOSYS);
  });
});

test('a call of x32 kills the process on x86-64', () => {
  const instructions = seccompInstructions('x64');
  const nr = fc.integer({ min: 0x40000000, max: 0xffffffff });
  fc.assert(
    fc.property(nr, arguments_, (call, words) => {
      expect(verdictOn(instructions, { arch: auditArch.x64, nr: call, words })).toBe(kill);
    }),
  );
  expect(verdictOn(instructions, { arch: auditArch.x64, nr: 0x40000000 })).toBe(kill);
});

test.each(['riscv64', 'ia32', 'toString', ''])('there is no filter for %s: no sandbox', (architecture) => {
  expect(() => seccompFilter(architecture)).toThrow(SandboxError);
  expect(() => seccompFilter(architecture)).toThrow(/no seccomp table for/);
});

const headers: Readonly<Record<Architecture, string>> = {
  x64: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h',
  arm64: '/usr/include/asm-generic/unistd.h',
};

/**
 * System calls by name; generic headers give some of them through another name (`__NR3264_…`), and say how
 * many there are (`__NR_syscalls`).
 */
function numbersOf(header: string): Map<string, number> {
  const lines = readFileSync(header, 'utf8').matchAll(
    /^#define __NR(?:3264)?_(?!syscalls\b)(\w+)\s+(\d+)$/gm,
  );
  return new Map([...lines].map(([, call, number]) => [call, Number(number)]));
}

describe.each(architectures)('the numbers of %s', (name) => {
  test.skipIf(!existsSync(headers[name]))("are the kernel's own, where its header has them", () => {
    const real = numbersOf(headers[name]);
    const mine = Object.entries(decidedIn(name));
    const known = mine.filter(([call]) => real.has(call));
    expect(Object.fromEntries(known)).toEqual(
      Object.fromEntries(known.map(([call]) => [call, real.get(call)])),
    );
    // Only calls newer than the header may be missing from it.
    const newest = Math.max(...real.values());
    expect(mine.filter(([call, number]) => !real.has(call) && number <= newest)).toEqual([]);
  });
  test('are each given once', () => {
    const numbers = [denied, ignored, conditional].flatMap((table) => Object.values(table[name]));
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});

test('what one architecture denies, the other does too, where it has the call', () => {
  const [x64, arm64] = [numbersIn('x64'), numbersIn('arm64')];
  const onlyOnX64 = [
    ...['uselib', 'modify_ldt', '_sysctl', 'iopl', 'ioperm', 'create_module', 'inotify_init'],
    ...['utime', 'utimes', 'futimesat'],
  ];
  expect([...x64].filter((call) => !arm64.has(call))).toEqual(onlyOnX64);
  expect([...arm64].filter((call) => !x64.has(call))).toEqual([]);
});

const numbersIn = (name: Architecture) => new Set(Object.keys(decidedIn(name)));
