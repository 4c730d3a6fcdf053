/** The values that a preset decides. Every one is the default of a key and may be set by itself. */
export interface Preset {
  /** `data.split`; null leaves it to the data: `train` for rows with MBPP's task ids, else `all`. */
  readonly split: 'all' | null;
  /** `data.loss_on`: the tokens whose cross-entropy is the loss. */
  readonly loss_on: 'completion' | 'all' | 'all-and-padding';
  /** `data.append_eos`: whether the end-of-text token is appended to each example. */
  readonly append_eos: boolean;
  /** `lora.scaling`: the factor s of W + s·B·A. */
  readonly scaling: 'alpha/r' | 'alpha';
  /** `regularizer.norm` of a Fourier penalty: the scale of its transform. */
  readonly norm: 'ortho' | 'backward';
}

export type PresetName = 'corrected' | 'paper' | 'author-script';

/**
 * The three readings of the method; what they do not name here is the same in all of them.
 *
 * - `corrected`, the default, is a sound protocol: MBPP's train split, the loss on the completion alone, an
 *   end-of-text token to learn to stop, PEFT's scaling, a transform that keeps the norm (Parseval's).
 * - `paper` is the paper's text: all 974 rows of MBPP, the loss on every token, eq. 1's s = α, and the plain
 *   transform, under which the penalty of fresh weights is some 10⁵ times the task's loss. As it trains on
 *   all of MBPP, holding out a part of the same file is refused.
 * - `author-script` is the published scripts: no end-of-text token of its own, and each example filled up
 *   to `max_length` with end-of-text tokens that are scored as well.
 *
 * NUMERICS: a change here changes what every run of that preset computes.
 */
export const presets: Readonly<Record<PresetName, Preset>> = {
  corrected: { split: null, loss_on: 'completion', append_eos: true, scaling: 'alpha/r', norm: 'ortho' },
  paper: { split: 'all', loss_on: 'all', append_eos: true, scaling: 'alpha', norm: 'backward' },
  'author-script': {
    split: null,
    loss_on: 'all-and-padding',
    append_eos: false,
    scaling: 'alpha/r',
    norm: 'ortho',
  },
};
