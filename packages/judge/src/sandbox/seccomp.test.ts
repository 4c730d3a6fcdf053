import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SandboxError } from '../errors.ts';
import { type Instruction, seccompFilter, seccompInstructions } from './seccomp.ts';
import { type Architecture, auditArch, conditional, denied } from './system-calls.ts';

const architectures: readonly Architecture[] = ['x64', 'arm64'];
const allow = 0x7fff0000;
const kill = 0x80000000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;

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

  test('mmap makes no memory that is both shared and anonymous', () => {
    const [shared, validated, anonymous] = [0x01, 0x03, 0x20];
    fc.assert(
      fc.property(arguments_, (words) => {
        for (const flags of [shared | anonymous, validated | anonymous]) {
          expect(decide(calls.mmap, withArgument(3, words[6] | flags, words))).toBe(EPERM);
        }
        for (const missing of [shared, anonymous]) {
          expect(decide(calls.mmap, withArgument(3, words[6] & ~missing, words))).toBe(allow);
        }
      }),
    );
  });

  test('ioctl pushes no input into a terminal and is allowed otherwise', () => {
    fc.assert(
      fc.property(arguments_, (words) => {
        for (const request of [0x5412, 0x541c]) {
          expect(decide(calls.ioctl, withArgument(1, request, words))).toBe(EPERM);
        }
        const forbidden = [0x5412, 0x541c].includes(words[2]);
        expect(decide(calls.ioctl, words)).toBe(forbidden ? EPERM : allow);
      }),
    );
  });

  test('every other call is allowed', () => {
    const decided = new Set([...Object.values(denied[name]), ...Object.values(calls)]);
    for (let nr = 0; nr < 1024; nr++) {
      if (!decided.has(nr)) expect(decide(nr, Array(12).fill(0xffffffff)), `call ${nr}`).toBe(allow);
    }
    const other = fc.nat({ max: 0x3fffffff }).filter((nr) => !decided.has(nr));
    fc.assert(fc.property(other, arguments_, (nr, words) => void expect(decide(nr, words)).toBe(allow)));
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

/** System calls by name; generic headers give some of them through another name (`__NR3264_…`). */
function numbersOf(header: string): Map<string, number> {
  const lines = readFileSync(header, 'utf8').matchAll(/^#define __NR(?:3264)?_(\w+)\s+(\d+)$/gm);
  return new Map([...lines].map(([, call, number]) => [call, Number(number)]));
}

describe.each(architectures)('the numbers of %s', (name) => {
  test.skipIf(!existsSync(headers[name]))("are the kernel's own, where its header has them", () => {
    const real = numbersOf(headers[name]);
    const mine = Object.entries({ ...denied[name], ...conditional[name] });
    const known = mine.filter(([call]) => real.has(call));
    expect(Object.fromEntries(known)).toEqual(
      Object.fromEntries(known.map(([call]) => [call, real.get(call)])),
    );
    // Only calls newer than the header may be missing from it.
    const newest = Math.max(...real.values());
    expect(mine.filter(([call, number]) => !real.has(call) && number <= newest)).toEqual([]);
  });
  test('are each given once', () => {
    const numbers = Object.values({ ...denied[name], ...conditional[name] });
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});

test('what one architecture denies, the other does too, where it has the call', () => {
  const [x64, arm64] = [numbersIn('x64'), numbersIn('arm64')];
  const onlyOnX64 = ['uselib', 'modify_ldt', '_sysctl', 'iopl', 'ioperm', 'create_module'];
  expect([...x64].filter((call) => !arm64.has(call))).toEqual(onlyOnX64);
  expect([...arm64].filter((call) => !x64.has(call))).toEqual([]);
});

const numbersIn = (name: Architecture) => new Set(Object.keys({ ...denied[name], ...conditional[name] }));
