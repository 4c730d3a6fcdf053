import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Judgement, LanguageId } from '@flex/judge';
import {
  encodeResults,
  encodeSample,
  type Incomplete,
  missingRow,
  protocolHash,
  resultFiles,
  sampleRow,
} from '../results.ts';
import { score } from '../score.ts';

export interface FolderSpec {
  /** Samples by problem: `+` a pass, `-` a fail, `?` missing. */
  readonly marks: Readonly<Record<string, string>>;
  readonly language?: LanguageId;
  readonly benchmark?: string;
  readonly incomplete?: Incomplete;
  readonly parts?: Readonly<Record<string, unknown>>;
  /** The completion of a sample. */
  readonly text?: (id: string, mark: string, sample: number) => string;
}

const judgements: Readonly<Record<string, Judgement>> = {
  '+': { verdict: 'passed', failure: null, detail: '', assurance: 'isolated', seconds: 0.1 },
  '-': {
    verdict: 'failed',
    failure: 'assertion',
    detail: 'AssertionError',
    assurance: 'isolated',
    seconds: 0.2,
  },
};

/** Writes a result folder as `flex eval` would. */
export function writeResultFolder(folder: string, spec: FolderSpec): string {
  const { marks, language = 'py', benchmark = 'humaneval', incomplete = 'fail' } = spec;
  const { parts = { limits: { wallSeconds: 10 } }, text = (id, mark, i) => `${id} ${mark} ${i}` } = spec;
  const problems = Object.entries(marks).map(([id, word]) => ({
    id,
    language,
    samples: [...word].map((mark, i) =>
      mark === '?'
        ? missingRow({ id, language })
        : sampleRow({ task_id: id, completion: text(id, mark, i) }, { id, language }, judgements[mark]),
    ),
  }));
  const results = {
    ...score(problems, { n: null, k: [1], incomplete }),
    benchmark,
    protocol: protocolHash(parts),
    protocol_parts: parts,
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, resultFiles.results), encodeResults(results));
  const rows = problems.flatMap(({ samples }) => samples);
  writeFileSync(join(folder, resultFiles.samples), rows.map(encodeSample).join(''));
  return folder;
}
