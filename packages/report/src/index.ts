export { makeReport, type ReportOptions } from './make-report.ts';
export { readSources, type Sources } from './read-sources.ts';
export type { Report } from './report.ts';
export type { NullBandOf, NullBands } from './run-charts.ts';
export { type ReportFiles, reportFiles, writeReport } from './write-report.ts';
