// Fails on source files that are too long to read: more than 500 lines, or lines wider than 110 characters.
// Usage: node scripts/check-sizes.mjs [folder…]
import { globSync, readFileSync } from 'node:fs';

const MAX_LINES = 500;
const MAX_WIDTH = 110;
