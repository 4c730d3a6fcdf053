/** Processors that a JVM sees, whatever the machine has: default pools grow with them. */
const processors = 4;

/** Flags of every JVM: it starts fast, and is the same on every machine. */
export const fastJvm: readonly string[] = [
  ...['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-XX:-UsePerfData', '-Xshare:auto'],
  `-XX:ActiveProcessorCount=${processors}`,
];
