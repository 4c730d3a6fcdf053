/**
 * Vitest reporter whose last line is the whole run in numbers: `N passed, N failed[, N skipped]`.
 * A test whose full name contains `[webgpu]` needs an adapter: when skipped it is reported on a line of
 * its own, and with FLEX_REQUIRE_GPU=1 it counts as failed. A skipped test named `[shared]` stands for those
 * that need what does not lie beside the repository; they have a line too, and so have the languages whose
 * tests, named `LANGUAGE [toolchain] …`, are skipped.
 */
export default class CountingReporter {
  #languages = [];
  #counts = { passed: 0, failed: 0, skipped: 0, withoutAdapter: 0, withoutShared: 0 };

  onInit(vitest) {
    this.namePattern = vitest.config.testNamePattern;
    // At exit, so that nothing which Vitest prints while closing comes after it.
    process.once('exit', (code) => this.#print(code));
  }

  onTestRunEnd(modules, unhandledErrors) {
    const requireGpu = process.env.FLEX_REQUIRE_GPU === '1';
    const counts = { ...this.#counts, failed: unhandledErrors.length };
    for (const module of modules) {
      // A file that does not load, or a hook that throws, fails outside any test.
      for (const suite of [module, ...module.children.allSuites()]) counts.failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') counts.passed++;
        else if (state !== 'skipped') counts.failed++;
        else if (this.#needs('[shared]', test.fullName)) counts.withoutShared++;
        else if (this.#needs('[webgpu]', test.fullName)) counts.withoutAdapter++;
        else {
          counts.skipped++;
          if (this.#needs(' [toolchain] ', test.fullName))
            this.#languages.push(test.name.split(' [toolchain] ')[0]);
        }
      }
    }
    if (requireGpu) counts.failed += counts.withoutAdapter;
    else counts.skipped += counts.withoutAdapter;
    counts.skipped += counts.withoutShared;
    if (counts.failed > 0) process.exitCode = 1;
    this.#counts = counts;
  }

  /** False for a test that `-t` left out: it was not skipped for want of anything. */
  #needs(mark, fullName) {
    return fullName.includes(mark) && (this.namePattern?.test(fullName.replaceAll(' > ', ' ')) ?? true);
  }

  #print(code) {
    const { passed, skipped, withoutAdapter, withoutShared } = this.#counts;
    // Vitest also fails for reasons that are no test's, such as finding no test at all.
    const failed = this.#counts.failed || (code === 0 ? 0 : 1);
    console.log(`fast-check seed: ${process.env.FLEX_FC_SEED} (set FLEX_FC_SEED to replay)`);
    if (withoutAdapter > 0) {
      const outcome = process.env.FLEX_REQUIRE_GPU === '1' ? 'failed, as FLEX_REQUIRE_GPU=1 asks' : 'skipped';
      console.log(
        `WebGPU: no adapter here; ${withoutAdapter} tests ${outcome} ` +
          '(software Vulkan or a GPU driver runs them: see flex doctor)',
      );
    }
    if (withoutShared > 0) {
      const groups = withoutShared === 1 ? '1 group of tests' : `${withoutShared} groups of tests`;
      console.log(`Reference values: not beside this repository; ${groups} skipped`);
    }
    if (this.#languages.length > 0) {
      console.log(`Languages: no toolchain here for ${this.#languages.join(', ')}; their tests skipped`);
    }
    console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  }
}
