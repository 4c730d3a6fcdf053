/** A benchmark as papers report on it, and how many problems it has. */
export interface KnownBenchmark {
  /** As `flex eval --benchmark` takes it where it does. */
  readonly name: string;
  readonly aliases: readonly string[];
  /** The usual one first. */
  readonly sizes: readonly KnownSize[];
}

export interface KnownSize {
  readonly problems: number;
  /** Which problems these are; empty for all of them. */
  readonly which: string;
}

/** Problems of MultiPL-E's HumanEval by language: those whose types and tests could be translated. */
const multiplE = {
  java: 158,
  cpp: 161,
  cs: 158,
  d: 156,
  go: 154,
  jl: 159,
  js: 161,
  lua: 161,
  php: 161,
  pl: 161,
  r: 161,
  rb: 161,
  rkt: 161,
  rs: 156,
  scala: 160,
  sh: 158,
  swift: 158,
  ts: 159,
};

const whole = (name: string, problems: number, aliases: readonly string[] = []): KnownBenchmark => ({
  name,
  aliases,
  sizes: [{ problems, which: '' }],
});

/** The sizes that published numbers are mostly counts of. */
export const knownBenchmarks: readonly KnownBenchmark[] = [
  whole('humaneval', 164, ['humaneval+', 'humaneval-py', 'humaneval-python']),
  ...Object.entries(multiplE).map(([language, problems]) =>
    whole(`multipl-e:${language}`, problems, [`humaneval-${language}`]),
  ),
  {
    name: 'mbpp',
    aliases: [],
    sizes: [
      { problems: 500, which: 'test, tasks 11-510' },
      { problems: 974, which: 'all tasks' },
    ],
  },
  whole('mbpp:train', 374),
  whole('mbpp:validation', 90),
  whole('mbpp:sanitized', 427),
  whole('mbpp+', 378),
  {
    name: 'mbxp:java',
    aliases: ['mbjp', 'mbxp-java'],
    sizes: [
      { problems: 966, which: 'all tasks' },
      { problems: 874, which: 'tasks with a reference solution' },
    ],
  },
  whole('apps', 5000),
  whole('apps:introductory', 1000),
  whole('apps:interview', 3000),
  whole('apps:competition', 1000),
];
