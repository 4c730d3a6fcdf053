import { DataError } from '@flex/base';
import { fastJvm } from '../java/java-flags.ts';
import { findJavaHome, javaReads, javatuples } from '../java/java-home.ts';
import { defineLanguage } from '../language.ts';
import { javaLimits } from '../sandbox/limits.ts';
import { inMain } from '../seal.ts';

const main = /\bvoid\s+main\s*\([^)]{0,99}\)[^{;]{0,99}\{/g;
const flags = [...fastJvm, '-ea', '-Xss8m', '-Xmx512m', '-XX:MaxMetaspaceSize=128m'];

export const java = defineLanguage({
  id: 'java',
  name: 'Java',
  packages: 'default-jdk-headless libjavatuples-java',
  programs: ['tar'],
  reads: javaReads,
  version: () =>
    `ls ${javatuples} >&2 && ${findJavaHome()}/bin/java --version | head -n 1 &&
      printf 'javatuples %.8s' "$(sha256sum < ${javatuples})"`,
  limits: javaLimits,
  empty: '        throw new UnsupportedOperationException();',
  compiler: {
    files: (text) => ({ [fileOf(text)]: text }),
    script: (text) =>
      `${findJavaHome()}/bin/javac ${fastJvm.map((flag) => `-J${flag}`).join(' ')} -proc:none -nowarn ` +
      `-encoding UTF-8 -cp ${javatuples} -d classes ${fileOf(text)} && tar -C classes -cf program .`,
    seconds: 20,
  },
  seal: inMain({
    head: main,
    tail: /\}\s*\}\s*$/,
    first: 'java.lang.String flexNonce = new java.util.Scanner(java.lang.System.in).nextLine();',
    last: 'java.lang.System.out.println("\\n" + flexNonce);',
  }),
  readsNonce: true,
  sealed: (text) => ({
    command: [
      ...['/bin/sh', '-c', 'mkdir classes && tar -C classes -xf /flex/program && exec "$@"', 'sh'],
      ...[`${findJavaHome()}/bin/java`, ...flags, '-cp', `classes:${javatuples}`, mainClassOf(text)],
    ],
  }),
  plain: null,
  signs: {
    assertion: /AssertionError|-- test case \d+ did not pass/,
    line: /^Exception in thread .*$/m,
  },
  examples: new URL('../../fixtures/languages/java.txt', import.meta.url),
});

/** The class whose main function comes last. */
function mainClassOf(text: string): string {
  const last = [...text.matchAll(main)].at(-1);
  const name = [...text.slice(0, last?.index).matchAll(/\bclass\s+(\w+)/g)].at(-1)?.[1];
  if (name === undefined) throw new DataError('tests: must end with the main function that runs them');
  return name;
}

function fileOf(text: string): string {
  const name = /^[ \t]*public\s+(?:(?:final|abstract)\s+)?class\s+(\w+)/m.exec(text)?.[1];
  return `/flex/${name ?? 'Program'}.java`;
}
