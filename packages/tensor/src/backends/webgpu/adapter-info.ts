// What a WebGPU backend tells, in types of its own: a program of Node need not have those of WebGPU.

/** The adapter of this machine. */
export interface AdapterInfo {
  readonly vendor: string;
  readonly name: string;
  readonly driver: string;
  /** True for a rasteriser on the CPU. */
  readonly software: boolean;
  readonly subgroupSizes: readonly [number, number];
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** Time on the device of all runs of one op. */
export interface KernelTime {
  readonly name: string;
  readonly count: number;
  readonly milliseconds: number;
}
