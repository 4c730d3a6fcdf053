/** Devices by the names of `--device`, in the order in which `auto` takes them. */
export const devices = ['webgpu', 'cpu', 'gpujs'] as const;
export type DeviceName = (typeof devices)[number];

/** What `--device` takes. */
export const deviceChoices = ['auto', ...devices] as const;
