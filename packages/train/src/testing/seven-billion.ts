import { type CausalLM, emptyWeights, type ModelConfig, newModel, type TokenBatch } from '@flex/llama';
import { adamw, type Optimizer } from '@flex/optim';
import { flattenWeights, fourier, initLora, type LoraConfig, resolveLora, resolveTargets } from '@flex/peft';
import {
  type Backend,
  type CountingBackend,
  eachTensor,
  keep,
  openCounting,
  type QuantizedDType,
} from '@flex/tensor';
import { type UpdateSetup, update } from '../update.ts';

/** The shape of Code Llama 7B. */
export const codeLlama7b: ModelConfig = {
  hiddenSize: 4096,
  intermediateSize: 11008,
  layers: 32,
  heads: 32,
  kvHeads: 32,
  headDim: 128,
  vocabSize: 32016,
  modelType: 'llama',
  embeddingScale: 1,
  norm: 'rms',
  normOffset: 0,
  normEps: 1e-5,
  biases: { qkv: false, o: false, mlp: false },
  qkNorm: false,
  mlp: 'gated',
  activation: 'silu',
  windows: Array(32).fill(null),
  cachedWindows: Array(32).fill(null),
  ropeTheta: 1e6,
  ropeScaling: null,
  maxPositions: 16384,
  tieWordEmbeddings: false,
  bosId: 1,
  eosIds: [2],
  torchDtype: 'bf16',
};

/** A run, r = 8 on the MLP, with the Fourier penalty, of a model whose weights may be any numbers. */
export interface EmptyRun<B extends Backend> {
  readonly backend: B;
  readonly model: CausalLM;
  /** One update of b rows of t tokens, all of them scored. */
  update(b: number, t: number): void;
}

/** What a run of the true Code Llama 7B would do. */
export type SevenBillion = EmptyRun<CountingBackend>;

export interface EmptyRunOptions {
  readonly config?: ModelConfig;
  readonly optimizer?: Optimizer;
  readonly quantize?: QuantizedDType | null;
}

/** A run on a backend that counts. */
export const sevenBillion = (given: Partial<UpdateSetup> = {}, options: EmptyRunOptions = {}): SevenBillion =>
  emptyRun(openCounting(), given, options);

/** A run of Code Llama 7B's shape, or another. */
export function emptyRun<B extends Backend>(
  backend: B,
  given: Partial<UpdateSetup> = {},
  { config = codeLlama7b, optimizer = adamw({ lr: 2e-4 }), quantize = null }: EmptyRunOptions = {},
): EmptyRun<B> {
  const model = newModel(backend, 'code-llama-7b', config, emptyWeights(backend, config, 'f16', quantize));
  const lora: LoraConfig = { rank: 8, alpha: 16, dropout: 0.05, targets: 'mlp', scaling: 'alpha/r' };
  let params = initLora(backend, lora, resolveTargets(lora.targets, model.linears), 0);
  const whole = new Map();
  let state = optimizer.init(flattenWeights({ params, whole }));
  const setup: UpdateSetup = {
    model,
    lora: resolveLora(lora, params),
    optimizer,
    regularizers: [
      { label: 'fourier', title: 'fourier', regularizer: fourier(), lambda: 0.02, enters: 'loss' },
    ],
    maxGradNorm: 1,
    checkpointActivations: 0,
    seed: 0,
    gradAccumulation: 1,
    ...given,
  };
  let step = 0;
  return {
    backend,
    model,
    update(b, t) {
      const batch: TokenBatch = { b, t, ...tokens(b * t) };
      const made = keep(update(setup, { params, whole, state, batches: [batch], step: ++step, lr: 2e-4 }));
      eachTensor([params, state], (x) => x.dispose());
      const { params: after, state: stateAfter, whole: _, ...told } = made;
      eachTensor(told, (x) => x.dispose());
      [params, state] = [new Map(after), stateAfter];
    },
  };
}

function tokens(n: number): Pick<TokenBatch, 'input_ids' | 'labels'> {
  const input_ids = Int32Array.from({ length: n }, (_, i) => 3 + (i % 1000));
  return { input_ids, labels: input_ids };
}
