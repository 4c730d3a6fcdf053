export * from './rows.ts';
export * from './temporary-folder.ts';
