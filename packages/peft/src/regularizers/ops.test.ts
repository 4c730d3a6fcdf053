import { checkGradient } from '@flex/autograd/testing';
import { opTable } from '@flex/tensor/kernel';
import { checkOp } from '@flex/tensor/testing';
import './fourier.ts';

for (const name of ['weightedSquare', 'reorder']) checkOp(opTable.get(name)!);
// The gradient of `reorder` holds for permutations only, which random indices are not: the Fourier tests have it.
checkGradient(opTable.get('weightedSquare')!);
