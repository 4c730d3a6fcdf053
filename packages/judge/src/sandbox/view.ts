import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { SandboxError } from '../errors.ts';

/** Below /usr, and below /usr/local alike; `*` stands for any part of a name. */
const belowUsr = (paths: readonly string[]) => paths.map((path) => `/usr/${path}`);

/**
 * What every box sees: programs, shared libraries, and Python's library. Each costs it a quarter millisecond.
 */
const common = [
  ...belowUsr(['bin', 'lib64', 'lib/*-linux-gnu', 'lib/locale', 'share/zoneinfo', 'lib/python3.*']),
  ...['/etc/alternatives', '/etc/ld.so.cache'],
];

/** Packages that others install into the folders above, with what data they bring. */
const packages = belowUsr([
  ...['lib/python3.*/dist-packages', 'lib/python3.*/site-packages'],
  ...['lib64/python3.*/dist-packages', 'lib64/python3.*/site-packages'],
  'lib/R/site-library',
]);

const judgeFolder = join(import.meta.dirname, '../..');
const project = projectAround(judgeFolder);

/** What a box sees of the machine's files, read-only. */
export interface View {
  /** Files and folders, each at its own path. */
  readonly shown: readonly string[];
  /** What lies inside of those and is not seen. */
  readonly masked: readonly string[];
}

/**
 * What a box sees whose programs read these files and folders: them and what every box sees, but no packages
 * that others installed, nothing of the harness's own (its project, the working folder, the home folder) and
 * nothing `hidden`, wherever these lie. A path below /usr stands for that below /usr/local as well. Throws
 * SandboxError where something hidden holds what programs must see. Looked at once a process.
 */
export function viewOf(reads: readonly string[], hidden: readonly string[]): View {
  const own = ownFolders();
  const key = JSON.stringify([reads, hidden, own]);
  const view = views.get(key) ?? findView(reads, hidden, own);
  views.set(key, view);
  return view;
}

const views = new Map<string, View>();

function findView(reads: readonly string[], hidden: readonly string[], own: readonly string[]): View {
  const shown = found([...common, ...reads]);
  for (const path of hidden) {
    const within = shown.find(({ real }) => real === realPath(path) || isBelow(real, realPath(path)));
    if (within !== undefined) {
      throw new SandboxError(
        `sandbox: ${path} is to be hidden, but programs need ${within.path}; keep data in a folder of its own`,
      );
    }
  }
  const installed = found(packages).map(({ path }) => path);
  const of = shown.filter(({ path }) => holdsMore(path, installed));
  const masked = [
    ...installed.filter((folder) => of.some(({ path }) => isBelow(folder, path))),
    ...[...own, ...hidden].map(realPath).flatMap((path) => placesOf(path, of)),
  ];
  return {
    shown: of.map(({ path }) => path),
    masked: [...new Set(masked)].filter((path) => !masked.some((folder) => isBelow(path, folder))),
  };
}

/** Whether a path is a file, or a folder that has other entries than these. */
function holdsMore(path: string, entries: readonly string[]): boolean {
  return (
    !statSync(path).isDirectory() || readdirSync(path).some((name) => !entries.includes(join(path, name)))
  );
}

/** Whether boxes whose programs read these files and folders see this file or folder of the machine. */
export function isShown(path: string, reads: readonly string[]): boolean {
  return found([...common, ...reads]).some(({ real }) => path === real || isBelow(path, real));
}

/** A path, and where it leads. */
interface Place {
  readonly path: string;
  readonly real: string;
}

/** The harness's own: its code and that of the project around it, and where it runs. */
function ownFolders(): string[] {
  return [judgeFolder, project, process.cwd(), ...homeFolder()];
}

/** None where the machine knows no such user and no variable names one. */
function homeFolder(): string[] {
  try {
    return [homedir()];
  } catch (error) {
    if ((error as { info?: { code?: string } }).info?.code !== 'ENOENT') throw error;
    return [];
  }
}

/** The outermost folder around this one that is a package of Node's. */
export function projectAround(folder: string): string {
  const around = [folder];
  while (dirname(around[0]) !== around[0]) around.unshift(dirname(around[0]));
  return around.find((path) => existsSync(join(path, 'package.json'))) ?? folder;
}

/** At which paths in a box a file or folder of the machine would be seen. */
function placesOf(path: string, shown: readonly Place[]): string[] {
  const around = existsSync(path) ? shown.filter(({ real }) => isBelow(path, real)) : [];
  return around.map(({ path: folder, real }) => folder + reachable(path, real).slice(real.length));
}

/** A path, or what is private on the way there from a folder: bubblewrap could not go on from it. */
function reachable(path: string, from: string): string {
  const parents = [path];
  while (dirname(parents[0]) !== from) parents.unshift(dirname(parents[0]));
  return parents.find((parent) => (statSync(parent).mode & 0o001) === 0) ?? path;
}

/** The places that patterns stand for, of those there are. */
function found(patterns: readonly string[]): Place[] {
  return [...new Set(patterns.flatMap(expand))].map((path) => ({ path, real: realpathSync(path) }));
}

function expand(pattern: string): string[] {
  const twin = pattern.replace(/^\/usr\//, '/usr/local/');
  return [...new Set([pattern, twin])].flatMap((path) => {
    const parts = path.split('/').slice(1);
    return parts.reduce((folders, part) => folders.flatMap((folder) => entries(folder, part)), ['/']);
  });
}

/** The paths of a folder's entries whose names match a part of a pattern. */
function entries(folder: string, part: string): string[] {
  if (!part.includes('*')) return [join(folder, part)].filter((path) => existsSync(path));
  const [start, end] = part.split('*');
  const names = statSync(folder).isDirectory() ? readdirSync(folder) : [];
  return names
    .filter((name) => name.startsWith(start) && name.endsWith(end))
    .map((name) => join(folder, name));
}

/** Where a path leads; itself where there is nothing. */
const realPath = (path: string) => (existsSync(path) ? realpathSync(path) : resolve(path));

const isBelow = (path: string, folder: string) => path.startsWith(folder === '/' ? '/' : `${folder}/`);
