import { checkOp } from '@flex/autograd/testing';
import { opTable } from '@flex/tensor/kernel';
import './fourier.ts';

for (const name of ['weightedSquare', 'reorder']) checkOp(opTable.get(name)!);
