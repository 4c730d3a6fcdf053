import './index.ts';
import { opTable } from './kernel.ts';
import { checkOp } from './testing/index.ts';

for (const op of opTable.values()) checkOp(op);
