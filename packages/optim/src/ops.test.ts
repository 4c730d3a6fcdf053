import { opTable } from '@flex/tensor';
import { checkOp } from '@flex/tensor/testing';
import './index.ts';

for (const name of ['adamwFirstMoment', 'adamwSecondMoment', 'adamwMove', 'clipCoefficient'])
  checkOp(opTable.get(name)!);
