import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { SandboxError } from '../errors.ts';
import { findJavaHome } from './java-home.ts';

const root = mkdtempSync(join(tmpdir(), 'java-home-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A folder that looks like a JDK; without a version its `release` file is missing. */
function jdk(path: string, version?: string): string {
  const home = join(root, path);
  mkdirSync(join(home, 'bin'), { recursive: true });
  writeFileSync(join(home, 'bin/javac'), '');
  if (version) writeFileSync(join(home, 'release'), `IMPLEMENTOR="x"\nJAVA_VERSION="${version}"\n`);
  return home;
}

describe('findJavaHome', () => {
  const below = join(root, 'usr');
  const good = jdk('usr/lib/jvm/good', '17.0.15');
  const newer = jdk('usr/lib/jvm/newer', '21');
  const old = jdk('usr/lib/jvm/old', '11.0.2');
  const unknown = jdk('usr/lib/jvm/unknown');
  const outside = jdk('home/jdk', '17');
  const reads = [join(below, 'lib/jvm')];
  const standard = join(below, 'lib/jvm/default-java');
  const find = (environment: NodeJS.ProcessEnv) => findJavaHome({ environment, reads, standard });
  const path = (...homes: string[]) => homes.map((home) => join(home, 'bin')).join(':');

  test('takes JAVA_HOME before the PATH, and the first of the PATH', () => {
    expect(find({ JAVA_HOME: newer, PATH: path(good) })).toBe(newer);
    expect(find({ JAVA_HOME: '', PATH: `${join(root, 'nothing')}::${path(good, newer)}` })).toBe(good);
  });

  test('passes over one that is too old, of no known version, or where boxes do not see it', () => {
    expect(find({ JAVA_HOME: outside, PATH: path(old, unknown, outside, newer) })).toBe(newer);
  });

  test('follows links to where the JDK is', () => {
    mkdirSync(join(below, 'bin'));
    symlinkSync(join(good, 'bin/javac'), join(below, 'bin/javac'));
    expect(find({ PATH: join(below, 'bin') })).toBe(good);
  });

  test('says in one line what to install where there is none', () => {
    const failing = () => find({ JAVA_HOME: old, PATH: path(outside) });
    expect(failing).toThrow(SandboxError);
    expect(failing).toThrow(/^sandbox: Java needs a JDK of version 17 or later in .*: apt-get install \S+$/);
  });

  test("falls back on Debian's default", () => {
    symlinkSync(newer, join(below, 'lib/jvm/default-java'));
    expect(find({})).toBe(newer);
  });
});
