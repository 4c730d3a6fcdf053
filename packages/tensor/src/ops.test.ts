import './index.ts';
import { opTable } from './kernel.ts';
import { checkForward } from './testing/index.ts';

for (const op of opTable.values()) checkForward(op);
