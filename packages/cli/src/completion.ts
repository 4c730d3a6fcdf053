import type { Command, Option } from 'commander';

/** Shells that can complete what is typed. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** What may stand behind an option, or as an argument: one of some words, a path, or anything. */
type Value = readonly string[] | 'file' | 'folder' | 'text';

interface CompletedOption {
  readonly names: readonly string[];
  readonly description: string;
  /** Null for one that takes no value. */
  readonly value: Value | null;
}

interface CompletedCommand {
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletedOption[];
  /** Commands of its own, whose options are among its options. */
  readonly inner: readonly string[];
  /** Null where it takes no arguments. */
  readonly argument: Value | null;
}

/**
 * The text that a shell reads to complete `flex`: its commands, their options, and what these take, all from
 * the definitions of the commands.
 */
export function completionScript(shell: Shell, flex: Command): string {
  return scripts[shell](flex.commands.map(completed), optionsOf(flex));
}

function completed(command: Command): CompletedCommand {
  const all = [command, ...command.commands];
  // Those of several are one.
  const options = new Map(all.flatMap(optionsOf).map((option) => [option.names.join(), option]));
  const [argument] = all.flatMap(({ registeredArguments }) => registeredArguments);
  return {
    name: command.name(),
    description: command.description(),
    options: [...options.values()],
    inner: command.commands.map((inner) => inner.name()),
    // What is no option is a file, unless it is one of some words.
    argument: argument ? (argument.argChoices ?? 'file') : null,
  };
}

function optionsOf(command: Command): CompletedOption[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map((option) => ({
      names: [option.short, option.long].filter((name) => name != null),
      description: option.description,
      value: option.required || option.optional ? takenBy(option) : null,
    }));
}

function takenBy({ argChoices, flags }: Option): Value {
  if (argChoices) return argChoices;
  if (/[<[]dir/.test(flags)) return 'folder';
  return /[<[](file|path)/.test(flags) ? 'file' : 'text';
}

type Script = (commands: readonly CompletedCommand[], flags: readonly CompletedOption[]) => string;

const scripts: Readonly<Record<Shell, Script>> = { bash, zsh, fish };

/** In single quotes. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

function bash(commands: readonly CompletedCommand[], flags: readonly CompletedOption[]): string {
  const words = (list: readonly string[]) => `compgen -W ${quoted(list.join('\n'))} -- "$word"`;
  const matching = (value: Value) => {
    if (value === 'text') return ':';
    if (value === 'folder' || value === 'file')
      return `compgen -${value === 'folder' ? 'd' : 'f'} -- "$word"`;
    return words(value);
  };
  const namesOf = (options: readonly CompletedOption[]) => options.flatMap(({ names }) => names);
  const first = [...commands.map(({ name }) => name), ...namesOf(flags)];
  const cases = commands.flatMap(({ name, options, inner, argument }) => [
    ...options.flatMap(({ names, value }) =>
      value === null
        ? []
        : [`    ${names.map((each) => quoted(`${name} ${each}`)).join('|')}) ${matching(value)} ;;`],
    ),
    `    ${quoted(`${name} `)}*) case $word in -*) ${words(namesOf(options))} ;; *) ${inner.length > 0 ? `${words(inner)}; ` : ''}${matching(argument ?? 'text')} ;; esac ;;`,
  ]);
  return `# Completion of flex in bash: source this file, or eval "$(flex completion bash)".
_flex_words() {
  local word=$1 command=$2 before=$3
  if [[ -z $command ]]; then
    ${words(first)}
    return
  fi
  case "$command $before" in
${cases.join('\n')}
  esac
}
_flex() {
  local IFS=$'\n' command=
  ((COMP_CWORD > 1)) && command=\${COMP_WORDS[1]}
  COMPREPLY=($(_flex_words "\${COMP_WORDS[COMP_CWORD]}" "$command" "\${COMP_WORDS[COMP_CWORD - 1]}"))
}
complete -o filenames -F _flex flex
`;
}

function zsh(commands: readonly CompletedCommand[], flags: readonly CompletedOption[]): string {
  const plain = (text: string) => text.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  const action = (value: Value) => {
    if (value === 'text') return ' ';
    if (value === 'folder' || value === 'file') return value === 'folder' ? '_files -/' : '_files';
    return `(${value.join(' ')})`;
  };
  const specs = (options: readonly CompletedOption[]) =>
    options.flatMap(({ names, description, value }) =>
      names.map((name) =>
        quoted(`*${name}[${plain(description)}]${value === null ? '' : `:value:${action(value)}`}`),
      ),
    );
  const cases = commands.map(({ name, options, inner, argument }) => {
    const first = inner.length > 0 ? [quoted(`1:command:(${inner.join(' ')})`)] : [];
    const all = [
      ...specs(options),
      ...first,
      ...(argument === null ? [] : [quoted(`*:argument:${action(argument)}`)]),
    ];
    return `    ${name})\n      _arguments ${all.join(' \\\n        ')} ;;`;
  });
  const names = commands.map(({ name, description }) => quoted(`${name}:${plain(description)}`));
  return `#compdef flex
# Completion of flex in zsh: eval "$(flex completion zsh)" after compinit, or a file _flex in $fpath.
_flex() {
  local -a commands=(${names.join(' \\\n    ')})
  if ((CURRENT == 2)); then
    _describe command commands
    _arguments ${specs(flags).join(' ')}
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _flex ]]; then _flex "$@"; else compdef _flex flex; fi
`;
}

function fish(commands: readonly CompletedCommand[], flags: readonly CompletedOption[]): string {
  const plain = (text: string) => `'${text.replaceAll(/['\\]/g, (character) => `\\${character}`)}'`;
  const taking = (value: Value) => {
    if (value === 'text') return ' -x';
    if (value === 'folder') return " -x -a '(__fish_complete_directories)'";
    return value === 'file' ? ' -r -F' : ` -x -a ${plain(value.join(' '))}`;
  };
  const named = (name: string) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`);
  const line = (condition: string, { names, description, value }: CompletedOption) =>
    `complete -c flex -n ${plain(condition)} ${names.map(named).join(' ')}${value === null ? '' : taking(value)} ` +
    `-d ${plain(description)}`;
  const lines = commands.flatMap(({ name, description, options, inner, argument }) => {
    const within = `__fish_seen_subcommand_from ${name}`;
    const after =
      argument === null
        ? []
        : [`complete -c flex -n ${plain(within)}${argument === 'file' ? ' -F' : taking(argument)}`];
    return [
      `complete -c flex -n __fish_use_subcommand -a ${name} -d ${plain(description)}`,
      ...options.map((option) => line(within, option)),
      ...after,
      ...inner.map((each) => `complete -c flex -n ${plain(within)} -a ${each}`),
    ];
  });
  return [
    '# Completion of flex in fish: flex completion fish | source',
    'complete -c flex -f',
    ...flags.map((option) => line('__fish_use_subcommand', option)),
    ...lines,
    '',
  ].join('\n');
}
