import { opTable } from '@flex/tensor/kernel';
import { checkGradient } from './testing/index.ts';

for (const op of opTable.values()) checkGradient(op);
