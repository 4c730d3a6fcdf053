import { hubName, type Provenance, printable, type Source } from '@flex/base';

/**
 * What a report says of provenance, by what it tells: the same keys for every record, short texts. Null: from
 * before it was recorded.
 */
export function provenanceTexts(provenance: Provenance | null): Readonly<Record<Told, string>> {
  const texts: Partial<Record<Told, string>> = provenance ? textsOf(provenance) : {};
  return Object.fromEntries(told.map((key) => [key, printable(texts[key] ?? 'not recorded')])) as Record<
    Told,
    string
  >;
}

const told = ['model', 'adapter', 'data', 'samples', 'code', 'command', 'when', 'where'] as const;
export type Told = (typeof told)[number];

/** The same as lines, in words. */
export function provenanceLines(provenance: Provenance): string[] {
  const { model, adapter, data, samples, code, command, when, where } = provenanceTexts(provenance);
  return [
    `model ${model}, adapter ${adapter}`,
    `data ${data}, samples ${samples}`,
    `code ${code}, ${when}, on ${where}`,
    `command ${command}`,
  ];
}

function textsOf(provenance: Provenance): Record<Told, string> {
  const { model, adapters, merged, data, samples, code, command, device, machine, resumed } = provenance;
  const { commit, versions } = code;
  const state =
    commit === null ? 'no commit' : `${commit.hash.slice(0, 7)}${commit.modified ? ' (modified)' : ''}`;
  const parts = adapters.map(
    (adapter) => `${nameOf(adapter)}${adapter.weight === 1 ? '' : ` × ${adapter.weight}`}`,
  );
  const [first, last] = [provenance.started, provenance.finished].map((time) => time && minuteOf(time));
  const again =
    resumed.length === 0 ? '' : `, resumed ${resumed.length === 1 ? 'once' : `${resumed.length} times`}`;
  return {
    model: model ? nameOf(model) : 'none',
    adapter:
      parts.length === 0 ? 'none' : `${parts.join(' + ')}${merged === null ? '' : `, merged as ${merged}`}`,
    data: data.map((source) => `${nameOf(source)} (${source.use})`).join(', ') || 'none',
    samples: samples
      ? nameOf(samples)
      : model && data.some(({ use }) => use === 'benchmark')
        ? 'generated'
        : 'none',
    code: `flex ${versions.flex} ${state}`,
    command: command.map(quoted).join(' '),
    when: `${first}${last === null || last === first ? '' : ` to ${last}`} UTC${again}`,
    where: `${machine.host}${device === null ? '' : `, ${device}`}`,
  };
}

/**
 * `x/adapter 1a2b3c4d`, `org/name@6c284d1 1a2b3c4d`: the end of the path, or the hub's name, and the beginning of
 * the digest.
 */
function nameOf({ path, sha256 }: Source): string {
  const ofHub = hubName(path)?.replace(/(@[0-9a-f]{7})[0-9a-f]{33}/, '$1');
  return `${ofHub ?? path.split(/[\\/]/).slice(-2).join('/')} ${sha256.slice(0, 8)}`;
}

/** `2026-11-22 06:45`. */
function minuteOf(time: string): string {
  return time.slice(0, 16).replace('T', ' ');
}

/** An argument as a shell takes it. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
