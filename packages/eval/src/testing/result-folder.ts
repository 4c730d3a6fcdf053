import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestFile, type Provenance } from '@flex/base';
import { someProvenance } from '@flex/base/testing';
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
  /** 1 if left out. */
  readonly k?: readonly number[];
  readonly parts?: Readonly<Record<string, unknown>>;
  /** Null: as before it was recorded. */
  readonly provenance?: Provenance | null;
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
  const { marks, language = 'py', benchmark = 'humaneval', incomplete = 'fail', k = [1] } = spec;
  const { parts = { limits: { wallSeconds: 10 } }, text = (id, mark, i) => `${id} ${mark} ${i}` } = spec;
  const { provenance = someProvenance } = spec;
  const problems = Object.entries(marks).map(([id, word]) => ({
    id,
    language,
    samples: [...word].map((mark, i) =>
      mark === '?'
        ? missingRow({ id, language })
        : sampleRow({ task_id: id, completion: text(id, mark, i) }, { id, language }, judgements[mark]),
    ),
  }));
  mkdirSync(folder, { recursive: true });
  const samplesPath = join(folder, resultFiles.samples);
  const rows = problems.flatMap(({ samples }) => samples);
  writeFileSync(samplesPath, rows.map(encodeSample).join(''));
  const results = {
    ...score(problems, { n: null, k, incomplete }),
    benchmark,
    protocol: protocolHash(parts),
    protocol_parts: parts,
    ...(provenance && { samples_sha256: digestFile(samplesPath).sha256, provenance }),
  };
  writeFileSync(join(folder, resultFiles.results), encodeResults(results));
  return folder;
}
