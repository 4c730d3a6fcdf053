import { ConfigError } from '@flex/base';
import { type AskedSize, auditNumber, type CountMatch, type NearCount, type NumberAudit } from '@flex/eval';
import { Command } from 'commander';
import { type CommonOptions, outputOf, withCommonOptions } from '../context.ts';
import { chalk } from '../terminal.ts';

interface AuditNumberOptions extends CommonOptions {
  readonly benchmark?: string;
  readonly n?: number;
  readonly samples: number;
  readonly fraction?: boolean;
}

export function auditNumberCommand(): Command {
  const command = new Command('audit-number')
    .description('which counts of passes a reported pass@1 can stand for, and whether any can')
    .argument('<number>', 'a percentage such as 42.07, with the digits that were reported')
    .option('--benchmark <name>', 'humaneval, humaneval-java, mbpp, mbxp:java, apps …')
    .option('--n <problems>', 'a number of problems, in place of a benchmark', Number)
    .option('--samples <n>', 'samples a problem', Number, 1)
    .option('--fraction', 'the number is a share such as 0.4207');
  return withCommonOptions(command).action(run);
}

function run(text: string, { benchmark, n, samples, fraction = false, ...common }: AuditNumberOptions): void {
  const output = outputOf(common);
  const size = benchmark ?? n;
  if (size === undefined || (benchmark !== undefined && n !== undefined)) {
    throw new ConfigError('audit-number: give --benchmark NAME or --n PROBLEMS, one of them');
  }
  const audit = auditNumber(text, { benchmark: size, samples, fraction });
  output.emit(audit);
  for (const asked of audit.asked) output.print(describeAsked(audit, asked));
  for (const { benchmarks, counts } of audit.elsewhere) {
    output.print(`It would be ${listed(counts)} of ${benchmarks.join(', ')}.`);
  }
  for (const { benchmark: name, left_out, counts } of audit.reduced) {
    output.print(`With ${left_out} problems of ${name} left out it would be ${listed(counts)}.`);
  }
}

function describeAsked({ reported, samples }: NumberAudit, asked: AskedSize): string {
  const { benchmark, which, problems, counts, nearest } = asked;
  const programs = samples === 1 ? '' : ` · ${samples} samples`;
  const where = `${benchmark}, ${problems} problems${which === '' ? '' : ` (${which})`}${programs}`;
  if (counts.length > 0) return `${where}: ${reported} is ${chalk.green(listed(counts))}.`;
  const near = nearest.map(share).join(' and ');
  return `${where}: ${reported} is ${chalk.red('no count')}; the nearest are ${near}.`;
}

/** Up to four counts; of more, the first and the last. */
function listed(counts: readonly CountMatch[]): string {
  const shown = counts.length > 4 ? [counts[0], counts[counts.length - 1]] : counts;
  const texts = shown.map((match) => `${share(match)}${remark(match)}`);
  return counts.length > 4
    ? `any of ${counts.length} counts from ${texts[0]} to ${texts[1]}`
    : texts.join(' or ');
}

function share({ count, of, percent }: NearCount): string {
  return `${count}/${of} = ${percent} %`;
}

/** What must be said where not every way of rounding gives the number. */
function remark({ roundings }: CountMatch): string {
  if (roundings.includes('half-up') && roundings.includes('half-even')) return '';
  return ` (only ${roundings.join(' or ')})`;
}
