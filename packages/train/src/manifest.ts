import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import type { FileDigest } from '@flex/base';

/** A module that a part comes from. */
export interface ModuleDigest extends FileDigest {
  /** The part's name. */
  readonly part: string;
}

/** What only the run knows of itself. */
export interface RunFacts {
  /** The WebGPU adapter's name, or that of the backend that took its place. */
  readonly adapter: string;
  /** Every seed by what it is for. */
  readonly seeds: Readonly<Record<string, number>>;
  readonly data: readonly FileDigest[];
  readonly model: readonly FileDigest[];
  /** Of parts that are not built in. */
  readonly modules: readonly ModuleDigest[];
  /** The choices that decide what the results mean, as they were resolved. JSON values. */
  readonly protocol: Readonly<Record<string, unknown>>;
}

/** What a run was made of: enough to make it again, and to see why two runs differ. */
export interface Manifest extends RunFacts {
  /** Marks a folder as a run's. */
  readonly kind: 'flex-run';
  /** When the run began: ISO 8601, UTC. */
  readonly started: string;
  /** When it went on, and after which update. */
  readonly resumed: readonly { readonly at: string; readonly after: number }[];
  /** Node's, flex's, and those of the packages that flex computes with. */
  readonly versions: Readonly<Record<string, string>>;
  readonly commit: Commit | null;
  readonly machine: Machine;
}

/** The state of the checkout that the code came from. */
export interface Commit {
  readonly hash: string;
  /** Whether tracked files differed from the commit. */
  readonly modified: boolean;
}

export interface Machine {
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memory_bytes: number;
}

/** The manifest of a run that begins now, on this machine, with this code. */
export function makeManifest(facts: RunFacts): Manifest {
  return {
    kind: 'flex-run',
    started: new Date().toISOString(),
    resumed: [],
    versions: versions(),
    commit: currentCommit(),
    machine: describeMachine(),
    ...facts,
  };
}

/** This machine: `memory_bytes` is its main memory, `cores` those that this process may use. */
export function describeMachine(): Machine {
  return {
    os: `${type()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_bytes: totalmem(),
  };
}

/** The commit this code is of; null where it is not a git checkout of its own, or there is no git. */
export function currentCommit(): Commit | null {
  const folder = import.meta.dirname;
  if (folder.includes('node_modules')) return null;
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const hash = git('rev-parse', 'HEAD');
    return { hash, modified: git('status', '--porcelain', '--untracked-files=no') !== '' };
  } catch {
    return null;
  }
}

interface Package {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** The versions of Node, of flex, and of all packages from elsewhere that its own packages depend on. */
export function versions(): Record<string, string> {
  const found: Record<string, string> = {};
  const seen = new Set<string>();
  const visit = (file: string): string => {
    const { version, dependencies = {} } = JSON.parse(readFileSync(file, 'utf8')) as Package;
    for (const name of Object.keys(dependencies)) {
      if (seen.has(name)) continue;
      seen.add(name);
      const inner = packageFile(name, file);
      if (inner && name.startsWith('@flex/')) visit(inner);
      else if (inner) found[name] = (JSON.parse(readFileSync(inner, 'utf8')) as Package).version;
    }
    return version;
  };
  const flex = visit(join(import.meta.dirname, '..', 'package.json'));
  const others = Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1));
  return { node: process.versions.node, flex, ...Object.fromEntries(others) };
}

/** The package.json of a package as the package of another package.json would find it. */
function packageFile(name: string, from: string): string | undefined {
  const folders = createRequire(from).resolve.paths(name) ?? [];
  return folders.map((folder) => join(folder, name, 'package.json')).find((file) => existsSync(file));
}
