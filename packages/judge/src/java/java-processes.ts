import { readFileSync } from 'node:fs';
import { HarnessError } from '../errors.ts';
import type { BoxOptions, Sandbox } from '../sandbox/box.ts';
import { constantFile } from '../sandbox/constant-file.ts';
import { javaLimits, type Limits } from '../sandbox/limits.ts';
import { fastJvm } from './java-flags.ts';
import { javaReads, javatuples } from './java-home.ts';

/** Most bytes of a frame between the host and its boxes. */
export const maxFrameBytes = 8 * 2 ** 20 + 64;

const judgeJar = '/flex/judge.jar';
const candidateJar = '/flex/candidate.jar';
const vmLog = '/tmp/vm.log';

const sources = [
  'MemoryCompiler',
  'Channel',
  'Codec',
  'Containers',
  'Thrown',
  'Remote',
  'SoftAssertions',
  'Surroundings',
  'VmLog',
  'Worker',
  'Driver',
] as const;

/** Every exception, whoever catches it. */
const logging = `-Xlog:exceptions=info:file=${vmLog}:none:filecount=0`;

/** Without the last four a JVM's warnings and its last words go to standard output, among the frames. */
const flags = [
  ...fastJvm,
  ...['-Xmx512m', '-Xss8m'],
  ...['-XX:+DisplayVMOutputToStderr', '-Xlog:disable', '-Xlog:all=error:stderr'],
  '-XX:+SuppressFatalErrorMessage',
];

/** Seconds that compiling the judge may take, on a machine busy with others. */
const buildSeconds = 120;

/** The judge's own processes compile and test for as long as there is work. */
const ownLimits: Limits = {
  ...javaLimits,
  wallSeconds: Number.POSITIVE_INFINITY,
  cpuSeconds: Number.POSITIVE_INFINITY,
};

type Launch = Pick<BoxOptions, 'command' | 'files' | 'limits' | 'reads'>;

/** The process that compiles and tests. */
export function workerLaunch(home: string, judge: Uint8Array): Launch {
  const classPath = `${judgeJar}:${javatuples}`;
  return {
    command: [
      ...[`${home}/bin/java`, ...flags, '-Xss32m', logging, '-cp', classPath],
      ...['flexjudge.Worker', javatuples, judgeJar, vmLog],
    ],
    files: { [judgeJar]: judge },
    reads: javaReads,
    limits: ownLimits,
  };
}

/** The process that answers calls of these classes. */
export function candidateLaunch(
  home: string,
  judge: Uint8Array,
  classes: Uint8Array,
  limits: Limits,
): Launch {
  const classPath = `${judgeJar}:${candidateJar}:${javatuples}`;
  const candidateFlags = ['-ea', '-XX:MaxMetaspaceSize=128m', '-XX:+ExitOnOutOfMemoryError'];
  return {
    command: [`${home}/bin/java`, ...flags, ...candidateFlags, '-cp', classPath, 'flexjudge.Driver'],
    files: { [judgeJar]: judge, [candidateJar]: classes },
    reads: javaReads,
    limits,
  };
}

const built = new WeakMap<Sandbox, Promise<Uint8Array>>();

/** The judge's own classes, compiled in a box once a process. */
export function judgeClasses(sandbox: Sandbox, home: string, lane: number): Promise<Uint8Array> {
  const known = built.get(sandbox);
  if (known) return known;
  const building = build(sandbox, home, lane);
  built.set(sandbox, building);
  return building;
}

async function build(sandbox: Sandbox, home: string, lane: number): Promise<Uint8Array> {
  const files = Object.fromEntries(
    sources.map((name) => [
      `/flex/${name}.java`,
      readFileSync(new URL(`./${name}.java`, import.meta.url), 'utf8'),
    ]),
  );
  const paths = Object.keys(files);
  const command = [`${home}/bin/java`, ...flags, paths[0], ...paths];
  const limits = { ...javaLimits, wallSeconds: buildSeconds, cpuSeconds: buildSeconds };
  const chunks: Buffer[] = [];
  const box = sandbox.open({
    command,
    files,
    reads: javaReads,
    limits,
    lane,
    onOutput: (chunk) => chunks.push(chunk),
  });
  const { code, stopped, stderr } = await box.ended;
  if (code === 0) return constantFile(Buffer.concat(chunks));
  throw new HarnessError(`java: the judge cannot be compiled (code ${code}, ${stopped}): ${stderr.trim()}`);
}
