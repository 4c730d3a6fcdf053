import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { SandboxError } from '../errors.ts';

/** What MultiPL-E's programs import; where the machine has none, programs without that import still run. */
export const javatuples = '/usr/share/java/javatuples.jar';

const oldest = 17;
const install = 'apt-get install default-jdk-headless';

/** Where to look, other than in this process's environment and below /usr. */
export interface JavaSearch {
  readonly environment?: NodeJS.ProcessEnv;
  /** The folder that boxes see. */
  readonly below?: string;
}

/**
 * The folder of a JDK that boxes see, so below /usr: JAVA_HOME, else the first `javac` on the PATH, else
 * Debian's default. Throws SandboxError, one line that names the cure, where there is none of version 17 or
 * later.
 */
export function findJavaHome({ environment = process.env, below = '/usr' }: JavaSearch = {}): string {
  const { JAVA_HOME, PATH = '' } = environment;
  const folders = [...(JAVA_HOME ? [join(JAVA_HOME, 'bin')] : []), ...PATH.split(delimiter).filter(Boolean)];
  for (const folder of [...folders, join(below, 'lib/jvm/default-java/bin')]) {
    const javac = join(folder, 'javac');
    if (!existsSync(javac)) continue;
    const home = dirname(dirname(realpathSync(javac)));
    if (home.startsWith(`${below}/`) && versionOf(home) >= oldest) return home;
  }
  throw new SandboxError(
    `sandbox: Java needs a JDK of version ${oldest} or later below ${below}: ${install}`,
  );
}

/** The feature version that a JDK's own `release` file states; 0 where it states none. */
function versionOf(home: string): number {
  const release = join(home, 'release');
  if (!existsSync(release)) return 0;
  return Number(/^JAVA_VERSION="(\d+)/m.exec(readFileSync(release, 'utf8'))?.[1] ?? 0);
}
