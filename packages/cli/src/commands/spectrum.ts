import { readAdapterTensors, spectrumOf } from '@flex/peft';
import { Command } from 'commander';
import { outputOf, type CommonOptions, withCommonOptions, withDevice } from '../context.ts';
