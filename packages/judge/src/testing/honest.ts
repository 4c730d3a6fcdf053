import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { javaProgram } from '../java/java-program.ts';
import type { Program } from '../program.ts';
import { writeOut } from './repeats.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/honest');

/** A right solution of a problem, in a way of its own: every judge must pass it. */
export interface Honest {
  /** The name of its file, without the ending: `python-concurrency`. */
  readonly file: string;
  readonly language: 'python' | 'java';
  readonly problem: string;
  /** What is particular to it. */
  readonly name: string;
  readonly source: string;
  /** What the problem is tested with: Python's tests, or Java's signature and assertions. */
  readonly tests: string;
}

/** The honest programs of a folder of `python-*.txt` and `java-*.txt`. Throws what `parseHonest` throws. */
export const readHonest = (folder = fixtures): Honest[] =>
  readdirSync(folder)
    .sort()
    .flatMap((name) => parseHonest(name, readFileSync(join(folder, name), 'utf8')));

/**
 * The programs of a file: `##### NAME` begins a problem, whose tests follow, and `===== WHAT` each solution of
 * it. Python's tests call NAME. Those of Java begin with the signature of the method, an assertion a line
 * after it; a solution is the method's body, without the brace that closes it, and what follows that. Throws
 * DataError for a file of another name, a problem without solutions and a solution without text.
 */
export function parseHonest(name: string, content: string): Honest[] {
  const [, file, language] = /^((python|java)-[a-z\d-]+)\.txt$/.exec(name) ?? [];
  if (file === undefined) throw new DataError(`${name}: must be named python-*.txt or java-*.txt`);
  return sections(name, content, '#####').flatMap(([problem, text]) => {
    const [tests, ...rest] = text.split(/^(?====== )/m);
    return sections(`${name}: ${problem}`, rest.join(''), '=====').map(([what, source]) => {
      if (!source.trim()) throw new DataError(`${name}: ${problem}: ${what}: must have a text`);
      const its = { file, language: language as Honest['language'], problem, name: what };
      return { ...its, source: writeOut(source), tests };
    });
  });
}

/** The parts that lines `MARK NAME` begin, at least one. */
function sections(where: string, text: string, mark: string): [name: string, text: string][] {
  const [before, ...parts] = text.split(new RegExp(`^${mark} (.+)\n`, 'm'));
  if (before.trim() || parts.length === 0) throw new DataError(`${where}: must begin with "${mark} NAME"`);
  return parts.flatMap((part, i) => (i % 2 === 0 ? [[part, parts[i + 1]] as [string, string]] : []));
}

/** The program that a solution makes. */
export function honestProgram({ language, problem, source, tests }: Honest): Program {
  if (language === 'python') {
    const inProcess = `\n${tests}`;
    return {
      language: 'py',
      source,
      tests: { kind: 'python-calls', setup: '', code: tests, entryPoints: [problem], inProcess },
    };
  }
  const [signature, ...assertions] = tests.trimEnd().split('\n');
  const prompt = `${javaImports}class Problem {\n    public static ${signature} {\n`;
  const main = `    }\n    public static void main(String[] args) {\n${assertions.join('\n')}\n    }\n\n}\n`;
  const text = prompt + source;
  return javaProgram({ prompt, source: text, tests: main, mainClass: 'Problem', whole: `${text}\n${main}` });
}

/** As MultiPL-E's prompts have them. */
const javaImports = ['util', 'lang.reflect', 'security', 'math', 'io', 'util.stream']
  .map((name) => `import java.${name}.*;\n`)
  .concat('import org.javatuples.*;\n')
  .join('');
