import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What a peer multiplies: the last two axes, all in f32. */
interface PeerProduct {
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** PyTorch in a process of its own, timed at the shapes it is asked. */
export interface Peer {
  readonly description: string;
  /** Median milliseconds of one product. */
  time(product: PeerProduct): Promise<number>;
  close(): void;
}

const program = `
import json, sys, time, torch
print(json.dumps(f"PyTorch {torch.__version__}, CPU, f32, {torch.get_num_threads()} threads"), flush=True)
for line in sys.stdin:
    p = json.loads(line)
    a, b = torch.randn(p["a"]), torch.randn(p["b"])
    a = a.mT if p["transposeA"] else a
    b = b.mT if p["transposeB"] else b
    def batch(count):
        start = time.perf_counter()
        for _ in range(count): torch.matmul(a, b)
        return (time.perf_counter() - start) * 1000 / count
    batch(3)
    count = max(1, min(500, round(20 / batch(3))))
    print(json.dumps(sorted(batch(count) for _ in range(7))[3]), flush=True)
`;

/** The Python that FLEX_PEER_PYTHON names, or null without one. Throws where it has no PyTorch. */
export async function openPeer(): Promise<Peer | null> {
  const python = process.env.FLEX_PEER_PYTHON;
  if (!python) return null;
  const child = spawn(python, ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`FLEX_PEER_PYTHON: the peer ended with code ${code}`)));
  });
  failed.catch(() => {}); // told by whoever waits for an answer
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await Promise.race([lines.next(), failed]);
    if (done) return failed;
    return JSON.parse(value);
  };
  return {
    description: String(await answer()),
    async time(product) {
      child.stdin.write(`${JSON.stringify(product)}\n`);
      return Number(await answer());
    },
    close: () => void child.stdin.end(),
  };
}
