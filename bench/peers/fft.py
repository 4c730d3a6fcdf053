"""The peers of fft.ts, on f32: fft.py numpy | torch."""
import sys

import numpy as np
from peer import serve


def numbers(facts):
    return np.random.default_rng(0).uniform(-1, 1, (facts["count"], facts["n"])).astype(np.float32)


def repeated(f):
    def run(count):
        for _ in range(count):
            f()

    return run


def with_numpy(facts):
    x, n = numbers(facts), facts["n"]
    if facts["adjoint"]:
        return repeated(lambda: np.fft.irfft(np.fft.rfft(x), n))
    return repeated(lambda: np.fft.rfft(x))


def with_torch(facts):
    x = torch.from_numpy(numbers(facts))

    def and_adjoint():
        w = x.requires_grad_(True)
        spectrum = torch.fft.rfft(w)
        torch.autograd.grad(spectrum, w, spectrum.detach())

    return repeated(and_adjoint if facts["adjoint"] else lambda: torch.fft.rfft(x))


if sys.argv[1] == "numpy":
    serve(f"NumPy {np.__version__}", with_numpy)
else:
    import torch

    serve(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", with_torch)
