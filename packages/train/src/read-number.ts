import { scope, type Tensor } from '@flex/tensor';

/** The only element of what f gives, read from the device; all that f made is freed. */
export async function readNumber(f: () => Tensor): Promise<number> {
  const made = scope(f);
  try {
    return await made.item();
  } finally {
    made.dispose();
  }
}
