import { checkOp } from '@flex/autograd/testing';
import { opTable } from '@flex/tensor/kernel';
import './index.ts';

const own = [
  'adamwUpdate',
  'addProduct',
  'addProducts',
  'clipCoefficient',
  'equalCount',
  'lionUpdate',
  'movingMean',
  'sgdUpdate',
  'sophiaCounts',
  'sophiaUpdate',
  'squaredLengths',
];
for (const name of own) checkOp(opTable.get(name)!);
