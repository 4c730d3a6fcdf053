// WebAssembly as Node has it. TypeScript knows it from the DOM's types alone, which have no place here.

export interface WasmMemory<B = SharedArrayBuffer> {
  /** Longer after `grow`, which leaves views of what was there before in place. */
  readonly buffer: B;
  grow(pages: number): number;
}
export interface WasmModule {
  readonly [Symbol.toStringTag]: 'WebAssembly.Module';
}
interface WasmEngine {
  readonly Memory: new <S extends boolean>(limits: {
    initial: number;
    maximum: number;
    shared: S;
  }) => WasmMemory<S extends true ? SharedArrayBuffer : ArrayBuffer>;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => WasmModule;
  readonly Instance: new (
    module: WasmModule,
    imports: { kernel: { memory: WasmMemory<SharedArrayBuffer | ArrayBuffer> } },
  ) => { readonly exports: { readonly run: Run } };
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
}

/** What a module of `moduleBytes` exports, as kernels use it: see `KernelBody`. */
export type Run = (from: number, to: number, args: number, scratch: number) => void;

const { WebAssembly } = globalThis as unknown as { WebAssembly?: WasmEngine };

/** Undefined where there is no WebAssembly, which `whyNoWasm` tells. */
export const { Memory, Module, Instance } = WebAssembly ?? ({} as WasmEngine);

/** Whether a module can be compiled here: not where there is no WebAssembly. */
export const validate = (bytes: Uint8Array<ArrayBuffer>): boolean => WebAssembly?.validate(bytes) ?? false;
