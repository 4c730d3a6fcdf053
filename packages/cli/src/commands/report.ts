import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readAdapterTensors, spectraOfAdapter } from '@flex/peft';
import { makeReport, type NullBandOf, readSources, reportFiles, writeReport } from '@flex/report';
import { Command } from 'commander';
import { type CommonOptions, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { type DeviceOptions, openBackend } from '../device.ts';
import { fromHere } from '../from-here.ts';
import { draws, placeOf } from '../option-values.ts';
import { recordedOptions } from '../spectrum/adapter-spectra.ts';

interface ReportCommandOptions extends CommonOptions, DeviceOptions {
  readonly out: string;
  readonly png?: boolean;
  readonly permutations: number;
}

export function reportCommand(): Command {
  const command = new Command('report')
    .description(
      'runs, evaluations and studies on one page that needs nothing else: curves, intervals, tables',
    )
    .argument('<paths...>', 'folders of runs, evaluations and studies, or folders that hold some')
    .requiredOption(
      '--out <file>',
      'report.html; report.md and report-charts/ are written beside it',
      placeOf('output'),
    )
    .option('--png', 'the charts as PNG too')
    .option(
      '--permutations <n>',
      'draws of what chance gives a spectrum: 39, 79, 119 …, or 0 for none',
      draws,
      39,
    );
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(paths: readonly string[], options: ReportCommandOptions): Promise<void> {
  const output = outputOf(options);
  const files = reportFiles(options.out);
  const sources = readSources(paths);
  const { permutations } = options;
  const bands = permutations === 0 ? null : nullBands(options, output.note);
  const report = await makeReport(sources, { nullBandOf: bands?.of ?? null });
  await bands?.close();
  await writeReport(report, files, options);
  output.emit(files);
  output.print(`${fromHere(files.html)}: ${report.title}; as Markdown in ${fromHere(files.markdown)}`);
}

/** What permutations of the indices of a run's adapter have. The backend is opened for the first. */
function nullBands(
  { device, threads, memory, permutations }: ReportCommandOptions,
  note: (line: string) => void,
): { readonly of: NullBandOf; close(): Promise<void> } {
  let opened: ReturnType<typeof openBackend> | undefined;
  return {
    async of(run) {
      const adapter = join(run, 'adapter');
      if (!existsSync(adapter)) return null;
      opened ??= openBackend({ device, threads, memory }, note);
      note(`${fromHere(run)}: ${permutations} permutations of the indices of its adapter`);
      const { params } = readAdapterTensors(await opened, adapter);
      const options = { ...recordedOptions(run), scope: 'each' as const, permutations };
      const { totals } = await spectraOfAdapter(params, options);
      return new Map([...totals].map(([name, { noise }]) => [name, noise!.bands]));
    },
    close: async () => (await opened)?.close(),
  };
}
