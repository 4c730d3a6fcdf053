import { DTypeError } from '../errors.ts';
import { kernel } from '../kernel-record.ts';
import { defineOp, type KernelOp } from '../op.ts';
import { show, size } from '../shape.ts';
import { apply, type Tensor } from '../tensor.ts';

interface OneHotAttrs {
  readonly classes: number;
}

const oneHotOp: KernelOp<OneHotAttrs> = defineOp({
  kind: 'kernel',
  name: 'oneHot',
  infer([labels], { classes }) {
    if (labels.dtype !== 'i32') throw new DTypeError(`oneHot: needs i32, got ${show(labels)}`);
    return { shape: [...labels.shape, classes], dtype: 'f32' };
  },
  wgsl: ([labels], [out], { classes }) =>
    kernel({
      name: 'oneHot',
      in: { labels },
      out: { out },
      params: { classes },
      grid: { cells: size(out.shape) },
      body: () => '  out[flat] = select(0.0, 1.0, labels[flat / p.classes] == i32(flat % p.classes));',
    }),
  host:
    (_inputs, _outputs, { classes }) =>
    ([labels], [out]) => {
      out.fill(0);
      for (let i = 0; i < labels.length; i++) {
        if (labels[i] >= 0 && labels[i] < classes) out[i * classes + labels[i]] = 1;
      }
    },
  vjp: null,
  samples: [{ shapes: [[4]], attrs: { classes: 5 } }],
  domains: [{ kind: 'index', below: 5 }],
  known: [{ inputs: [{ shape: [2], data: [1, -1] }], attrs: { classes: 2 }, output: [0, 1, 0, 0] }],
});

/**
 * 1 where the last axis equals the label, else 0; a negative label gives zeros. i32 [..] → f32 [.., classes].
 */
export const oneHot = (labels: Tensor, classes: number): Tensor => apply(oneHotOp, [labels], { classes });
