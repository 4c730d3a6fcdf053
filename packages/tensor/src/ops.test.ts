import { opTable } from './index.ts';
import { checkOp } from './testing/index.ts';

for (const op of opTable.values()) checkOp(op);
