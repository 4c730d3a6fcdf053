// Started by train-step.ts in a process of its own: from its first import to the first loss, and its memory.
// tsx first-update.ts --device cpu|webgpu|gpujs [--threads N]
const started = performance.now();
const { openDevice } = await import('./device.ts');
const { benchOptions } = await import('./harness.ts');
const { loraUpdates, microOn } = await import('./lora-update.ts');
const backend = await openDevice(benchOptions({}));
await loraUpdates(await microOn(backend), 'first')();
const seconds = (performance.now() - started) / 1000;
await backend.close();
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
const cpu_seconds = (userCPUTime + systemCPUTime) / 1e6;
const facts = { import_to_loss_seconds: seconds, cpu_seconds, max_rss_mib: Math.round(maxRSS / 1024) };
console.log(JSON.stringify(facts));
