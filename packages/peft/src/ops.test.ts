import { checkOp } from '@flex/autograd/testing';
import { opTable } from '@flex/tensor/kernel';
import './dora.ts';

checkOp(opTable.get('doraCrossTerms')!);
