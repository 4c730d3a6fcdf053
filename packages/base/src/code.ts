import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';

/** The code that a command runs. */
export interface Code {
  /** Of the checkout that it lies in; null where it lies in none. */
  readonly commit: Commit | null;
  /**
   * SHA-256 of flex's own code as it lies on the disk, committed or not: names and bytes of the files of the
   * package that was asked for and of those it depends on, tests left out.
   */
  readonly source: string;
  /** Node's, flex's, and those of all packages from elsewhere that flex's own depend on. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The state of a checkout. */
export interface Commit {
  /** 40 hexadecimal digits. */
  readonly hash: string;
  /** Whether anything below `packages` is not as committed: changed, removed, or new and not ignored. */
  readonly modified: boolean;
}

/** The code of one of flex's packages, by its folder, and of those it depends on. */
export function codeOf(packageFolder: string): Code {
  const { versions, own } = dependencies(join(packageFolder, 'package.json'));
  return { commit: commitOf(packageFolder), source: sourceDigest(own), versions };
}

/** Null where git does not track this file, or there is no git. */
function commitOf(packageFolder: string): Commit | null {
  // Of the checkout, whatever repository a hook of git that started this process works on.
  const { GIT_DIR: _d, GIT_WORK_TREE: _w, GIT_INDEX_FILE: _i, ...env } = process.env;
  const cwd = join(packageFolder, '..');
  const git = (...args: string[]): string =>
    execFileSync('git', ['--no-optional-locks', ...args], {
      cwd,
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    git('ls-files', '--error-unmatch', join(packageFolder, 'package.json'));
    const modified = git('status', '--porcelain', '--untracked-files=normal', '--', '.') !== '';
    return { hash: git('rev-parse', 'HEAD'), modified };
  } catch {
    return null;
  }
}

/** Of flex's packages by name, names and bytes of the files beside which this one lies in its own. */
function sourceDigest(own: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  for (const [name, folder] of [...own].sort(byKey)) {
    const code = join(folder, basename(import.meta.dirname));
    const files = readdirSync(code, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\.test\.\w+$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name));
    for (const file of files.sort()) {
      const bytes = readFileSync(file);
      hash.update(`${name} ${file.slice(code.length)} ${bytes.length}\n`).update(bytes);
    }
  }
  return hash.digest('hex');
}

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** All that a package.json depends on: versions by name, and the folders of flex's own packages by name. */
function dependencies(file: string): { versions: Record<string, string>; own: Map<string, string> } {
  const read = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as PackageJson;
  const found = new Map<string, string>();
  const own = new Map<string, string>();
  const visit = (path: string): string => {
    const { name, version, dependencies: needed = {} } = read(path);
    own.set(name, join(path, '..'));
    for (const other of Object.keys(needed)) {
      if (own.has(other) || found.has(other)) continue;
      const inner = packageFile(other, path);
      if (inner && other.startsWith('@flex/')) visit(inner);
      else if (inner) found.set(other, read(inner).version);
    }
    return version;
  };
  const flex = visit(file);
  const others = [...found].sort(byKey);
  return { versions: { node: process.versions.node, flex, ...Object.fromEntries(others) }, own };
}

/** The package.json of a package as the package of another package.json would find it. */
function packageFile(name: string, from: string): string | undefined {
  const folders = createRequire(from).resolve.paths(name) ?? [];
  return folders.map((folder) => join(folder, name, 'package.json')).find((file) => existsSync(file));
}

const byKey = ([a]: readonly [string, string], [b]: readonly [string, string]) => (a < b ? -1 : 1);
