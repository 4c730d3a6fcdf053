import { pText } from '@flex/study';

/** A p-value in a column of them: `0.031`, `< 0.0001`. */
export const pCell = (p: number): string => pText(p).replace(/^p (= )?/, '');
