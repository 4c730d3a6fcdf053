import { checkOp } from '@flex/autograd/testing';
import { opTable } from '@flex/tensor/kernel';
import './index.ts';

for (const name of ['adamwUpdate', 'clipCoefficient']) checkOp(opTable.get(name)!);
