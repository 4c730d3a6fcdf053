import { readFileSync } from 'node:fs';
import { HarnessError } from '../errors.ts';
import { pythonCommand } from '../languages/python.ts';
import type { Sandbox } from '../sandbox/box.ts';
import { constantFile } from '../sandbox/constant-file.ts';
import { defaultLimits } from '../sandbox/limits.ts';

type Files = Readonly<Record<string, Uint8Array>>;

const read = (name: string) => constantFile(readFileSync(new URL(name, import.meta.url)));

const codec = { '/flex/flex_codec.py': read('flex_codec.py') };
const candidate = { ...codec, '/flex/candidate.py': read('candidate.py') };

/** What is in the box of the tests. */
export const testerFiles: Files = {
  ...codec,
  '/flex/tester.py': read('tester.py'),
  '/flex/going_on.py': read('going_on.py'),
  '/flex/remote.py': read('remote.py'),
};

/** The script that a candidate's box runs. */
export const candidateScript = '/flex/candidate.pyc';

const compiled = new WeakMap<Sandbox, Promise<Files>>();

/**
 * What is in a candidate's box: `candidateScript`, and the codec that it imports, both compiled by the Python
 * of boxes, once a sandbox: that takes 6 ms, of every program's 25.
 */
export function candidateFiles(sandbox: Sandbox, lane: number): Promise<Files> {
  const known = compiled.get(sandbox);
  if (known) return known;
  const files = compile(sandbox, lane);
  compiled.set(sandbox, files);
  // What failed may be tried again.
  files.catch(() => compiled.delete(sandbox));
  return files;
}

/** Prints the bytecode files of the files that it is given, as JSON of base64 by path. */
const compiler = `
import base64, json, py_compile, sys
def bytecode(path):
    py_compile.compile(path, '/tmp/bytecode', path, True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    return base64.b64encode(open('/tmp/bytecode', 'rb').read()).decode()
print(json.dumps({path + 'c': bytecode(path) for path in sys.argv[1:]}))
`;

async function compile(sandbox: Sandbox, lane: number): Promise<Files> {
  const paths = Object.keys(candidate);
  const command = [...pythonCommand, '-c', compiler, ...paths];
  const chunks: Buffer[] = [];
  const box = sandbox.open({
    ...{ command, files: candidate, limits: defaultLimits, lane },
    onOutput: (chunk) => chunks.push(chunk),
  });
  const { code, stopped, stderr } = await box.ended;
  if (code !== 0)
    throw new HarnessError(`python: the judge cannot be compiled (${stopped ?? code}): ${stderr}`);
  const files = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
  return Object.fromEntries(
    Object.entries(files).map(([path, base64]) => [path, constantFile(Buffer.from(base64, 'base64'))]),
  );
}
