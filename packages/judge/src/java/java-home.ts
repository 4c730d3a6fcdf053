import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { SandboxError } from '../errors.ts';
import { isShown } from '../sandbox/view.ts';

/** What MultiPL-E's programs import; where the machine has none, programs without that import still run. */
export const javatuples = '/usr/share/java/javatuples.jar';

/** Where JDKs lie. */
const jdks = ['/usr/lib/jvm', '/usr/openjdk-*'];
/** What a JVM reads, and javac. */
export const javaReads = [...jdks, '/etc/java-*', '/usr/share/java/javatuples*.jar'];

const oldest = 17;
const install = 'apt-get install default-jdk-headless';

/** Where to look, other than in this process's environment and Debian's places. */
export interface JavaSearch {
  readonly environment?: NodeJS.ProcessEnv;
  /** What boxes see of JDKs. */
  readonly reads?: readonly string[];
  /** The JDK where the environment names none. */
  readonly standard?: string;
}

/**
 * The folder of a JDK that boxes see: JAVA_HOME, else the first `javac` on the PATH, else
 * Debian's default. Throws SandboxError, one line that names the cure, where there is none of version 17 or
 * later.
 */
export function findJavaHome({
  environment = process.env,
  reads = jdks,
  standard = '/usr/lib/jvm/default-java',
}: JavaSearch = {}): string {
  const { JAVA_HOME, PATH = '' } = environment;
  const folders = [...(JAVA_HOME ? [join(JAVA_HOME, 'bin')] : []), ...PATH.split(delimiter).filter(Boolean)];
  for (const folder of [...folders, join(standard, 'bin')]) {
    const javac = join(folder, 'javac');
    if (!existsSync(javac)) continue;
    const home = dirname(dirname(realpathSync(javac)));
    if (isShown(home, reads) && versionOf(home) >= oldest) return home;
  }
  throw new SandboxError(
    `sandbox: Java needs a JDK of version ${oldest} or later in ${reads.join(', ')}: ${install}`,
  );
}

/** The feature version that a JDK's own `release` file states; 0 where it states none. */
function versionOf(home: string): number {
  const release = join(home, 'release');
  if (!existsSync(release)) return 0;
  return Number(/^JAVA_VERSION="(\d+)/m.exec(readFileSync(release, 'utf8'))?.[1] ?? 0);
}
