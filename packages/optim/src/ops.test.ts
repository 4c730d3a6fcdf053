import { opTable } from '@flex/tensor/kernel';
import { checkOp } from '@flex/tensor/testing';
import './index.ts';

for (const name of ['adamwUpdate', 'clipCoefficient']) checkOp(opTable.get(name)!);
