import { basename, join } from 'node:path';
import { codeOf } from '@flex/base';
import type { ResultFolder } from '@flex/eval';
import { analyse } from '@flex/study';
import { evaluationBlocks, type NamedResults } from './evaluation-report.ts';
import { provenanceSection } from './provenance-section.ts';
import { namesOf, type Sources } from './read-sources.ts';
import { heading, type Report, type Section } from './report.ts';
import type { NullBandOf } from './run-charts.ts';
import { runSections } from './run-report.ts';
import { studySections, studySummary } from './study-report.ts';

export interface ReportOptions {
  /** Null: spectra are drawn without it. */
  readonly nullBandOf: NullBandOf | null;
}

/** The report of these sources; the same sources and code give the same one. Throws DataError as `analyse` does. */
export async function makeReport(sources: Sources, { nullBandOf }: ReportOptions): Promise<Report> {
  const { studies, runs, evaluations } = sources;
  const isAlone = studies.length + Math.min(runs.length, 1) + Math.min(evaluations.length, 1) === 1;
  const titles = namesOf(studies.map(({ folder }) => folder));
  const parts: { readonly title: string; readonly summary: string[]; readonly sections: Section[] }[] = [];
  for (const [i, record] of studies.entries()) {
    const sections = await studySections(record, analyse(record), nullBandOf);
    parts.push({
      title: record.manifest.title ?? `Study ${titles[i]}`,
      summary: studySummary(record),
      sections,
    });
  }
  if (runs.length > 0) {
    const title = runs.length === 1 ? `Run ${runs[0].name}` : `${runs.length} runs`;
    parts.push({ title, summary: [], sections: await runSections(runs, nullBandOf) });
  }
  if (evaluations.length > 0) {
    const title =
      evaluations.length === 1
        ? `Evaluation ${basename(evaluations[0].folder)}`
        : `${evaluations.length} evaluations`;
    parts.push({ title, summary: [], sections: evaluationSections(evaluations) });
  }
  const code = codeOf(join(import.meta.dirname, '..'));
  const commit = code.commit ? `, commit ${code.commit.hash.slice(0, 12)}` : '';
  return {
    title: parts.map(({ title }) => title).join(', '),
    summary: parts.flatMap(({ summary }) => summary),
    sections: parts.flatMap(({ title, sections }) =>
      isAlone ? sections : sections.map((section) => ({ ...section, title: `${title}: ${section.title}` })),
    ),
    footer: `flex ${code.versions.flex}${commit}${code.commit?.modified ? ', modified' : ''}`,
  };
}

/** Evaluations by benchmark, each compared with the first of its benchmark. */
function evaluationSections(evaluations: readonly ResultFolder[]): Section[] {
  const names = namesOf(evaluations.map(({ folder }) => folder));
  const all = evaluations.map((results, i): NamedResults => ({ name: names[i], results }));
  const benchmarks = [...new Set(evaluations.map(({ results }) => results.benchmark))];
  return [
    {
      title: 'Scores',
      blocks: benchmarks.flatMap((benchmark) => {
        const own = all.filter(({ results }) => results.results.benchmark === benchmark);
        const pairs = own.slice(1).map(({ name }) => [own[0].name, name] as const);
        return [...(benchmarks.length > 1 ? [heading(benchmark)] : []), ...evaluationBlocks(own, pairs)];
      }),
    },
    provenanceSection(
      all.map(({ name, results }) => ({ name, provenance: results.results.provenance ?? null })),
      all.flatMap(({ name, results: { results } }) =>
        results.provenance ? [`${name}: ${results.provenance.command.join(' ')}`] : [],
      ),
    ),
  ];
}
