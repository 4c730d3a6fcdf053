// Forked by tests that run as root: becomes an ordinary user once everything is loaded, judges the hostile
// programs as that user, and sends what came of it to its parent.
import { judgeAttacks } from './judge-attacks.ts';

const user = Number(process.argv[2]);
process.setgroups?.([]);
process.setgid?.(user);
process.setuid?.(user);
const judged = await judgeAttacks();
process.send?.(judged, () => process.exit(0));
