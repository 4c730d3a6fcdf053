// A process that downloads what a name of the hub needs, and tells its parent how far it is and how it ended.
import type { HubName } from '@flex/base';
import { downloadSnapshot } from '../download-snapshot.ts';

const name = JSON.parse(process.argv[2]) as HubName;
try {
  const path = await downloadSnapshot(name, {
    onProgress: (progress) => process.send?.(progress),
    note: (note) => process.send?.({ note }),
  });
  process.send?.({ path });
} catch (error) {
  process.send?.({ error: (error as Error).message });
}
process.disconnect?.();
