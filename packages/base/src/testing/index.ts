export * from './check-part.ts';
export * from './provenance.ts';
export * from './rows.ts';
export * from './temporary-folder.ts';
