/**
 * Python in a box: without site packages, user settings or bytecode files, so that programs see the standard
 * library alone, and with one order of sets in every process, so that they have one verdict.
 */
export const python = ['/usr/bin/env', 'PYTHONHASHSEED=0', '/usr/bin/python3', '-s', '-S', '-B'];
