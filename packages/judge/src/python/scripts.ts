import { readFileSync } from 'node:fs';
import { constantFile } from '../sandbox/constant-file.ts';

const read = (name: string) => constantFile(readFileSync(new URL(name, import.meta.url)));

const codec = { '/flex/flex_codec.py': read('flex_codec.py') };

/** What is in a candidate's box: the script that runs, and the codec that it imports. */
export const candidateFiles = { ...codec, '/flex/candidate.py': read('candidate.py') };

/** What is in the box of the tests. */
export const testerFiles = {
  ...codec,
  '/flex/tester.py': read('tester.py'),
  '/flex/going_on.py': read('going_on.py'),
  '/flex/remote.py': read('remote.py'),
};
