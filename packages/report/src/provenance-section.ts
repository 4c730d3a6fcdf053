import { hubName, type Provenance, type Source } from '@flex/base';
import { type Block, type Section, tableOf } from './report.ts';

/** A record and what it was made from; null: from before that was recorded. */
export interface Recorded {
  readonly name: string;
  readonly provenance: Provenance | null;
}

/** What records were made from: each different answer once, and then by their digests. No host's name. */
export function provenanceSection(records: readonly Recorded[], commands: readonly string[] = []): Section {
  const known = records.flatMap(({ provenance }) => provenance ?? []);
  const rows = questions.flatMap(([question, answersOf]) => {
    const counts = new Map<string, number>();
    for (const answer of known.flatMap((one) => [...new Set(answersOf(one))])) {
      counts.set(answer, (counts.get(answer) ?? 0) + 1);
    }
    const isShared = [...counts.values()].every((count) => count === known.length);
    return [...counts].map(([answer, count]) => [question, answer, isShared ? 'all' : String(count)]);
  });
  const times = known.flatMap(({ started, finished }) => [started, finished ?? started]).sort();
  const when =
    times.length === 0 ? [] : [['when', `${minute(times[0])} to ${minute(times.at(-1)!)} UTC`, 'all']];
  const columns = [
    { title: 'what' },
    { title: 'which' },
    { title: `of ${known.length} ${known.length === 1 ? 'record' : 'records'}`, align: 'right' as const },
  ];
  const digests = records.map(({ name, provenance }) => [name, provenance?.digest ?? 'not recorded']);
  const blocks: Block[] = [
    tableOf('What the records were made from', columns, [...rows, ...when]),
    ...(commands.length > 0 ? [{ kind: 'list' as const, items: commands }] : []),
    {
      kind: 'folded',
      summary: `Digests of the ${records.length} records`,
      blocks: [
        tableOf(
          'SHA-256 of all that decides a result; equal digests: the same inputs and code',
          [{ title: 'record' }, { title: 'digest' }],
          digests,
        ),
      ],
    },
  ];
  return { title: 'Provenance', blocks };
}

const questions: readonly (readonly [string, (of: Provenance) => readonly string[]])[] = [
  ['model', ({ model }) => (model ? [nameOf(model)] : [])],
  ['adapter', ({ adapters }) => (adapters.length > 4 ? [] : adapters.map(nameOf))],
  ['data', ({ data }) => data.map((source) => `${nameOf(source)}, ${source.use}`)],
  ['samples', ({ samples }) => (samples ? [nameOf(samples)] : [])],
  ['modules', ({ modules }) => modules.map(({ part, sha256 }) => `${part} ${sha256.slice(0, 12)}`)],
  ['code', ({ code }) => [codeText(code)]],
  ['Node', ({ code }) => [code.versions.node]],
  ['device', ({ device }) => (device ? [device] : [])],
  [
    'machine',
    ({ machine: { os, cpu, cores, memory_bytes } }) => [
      `${os}, ${cpu}, ${cores} cores, ${(memory_bytes / 2 ** 30).toFixed(0)} GiB`,
    ],
  ],
  ['resumed', ({ resumed }) => (resumed.length > 0 ? [`${resumed.length} times`] : [])],
];

function codeText({ commit, source, versions }: Provenance['code']): string {
  const modified = commit?.modified ? ', modified' : '';
  const at = commit === null ? 'no commit' : `commit ${commit.hash.slice(0, 12)}${modified}`;
  return `flex ${versions.flex}, ${at}, source ${source.slice(0, 12)}`;
}

/** The end of a path, or a hub's name, and the beginning of the digest. */
function nameOf({ path, sha256 }: Source): string {
  return `${hubName(path) ?? path} ${sha256.slice(0, 12)}`;
}

const minute = (time: string) => time.slice(0, 16).replace('T', ' ');
