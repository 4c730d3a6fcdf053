"""Batches of rfft in f32, and with the adjoint. Arguments: COUNTxLENGTH …; prints a line of JSON."""
import json
import sys
import time

import numpy as np

try:
    import torch
except ImportError:
    torch = None


def least(f, runs):
    f()
    best = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        f()
        best = min(best, time.perf_counter() - started)
    return best


def relative_error(got, want):
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


rows = []
for argument in sys.argv[1:]:
    count, n = map(int, argument.split("x"))
    x = np.random.default_rng(0).uniform(-1, 1, (count, n)).astype(np.float32)
    exact = np.fft.rfft(x[:2].astype(np.float64))
    runs = 5 if count * n > 4e6 else 15
    rows.append({
        "what": f"NumPy {np.__version__}",
        "count": count,
        "n": n,
        "seconds": least(lambda: np.fft.rfft(x), runs),
        "seconds_with_adjoint": least(lambda: np.fft.irfft(np.fft.rfft(x), n), runs),
        "error": relative_error(np.fft.rfft(x[:2]), exact),
    })
    if torch is None:
        continue
    t = torch.from_numpy(x)

    def with_adjoint():
        w = t.requires_grad_(True)
        spectrum = torch.fft.rfft(w)
        torch.autograd.grad(spectrum, w, spectrum.detach())

    rows.append({
        "what": f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads",
        "count": count,
        "n": n,
        "seconds": least(lambda: torch.fft.rfft(t.detach()), runs),
        "seconds_with_adjoint": least(with_adjoint, runs),
        "error": relative_error(torch.fft.rfft(t.detach()[:2]).numpy(), exact),
    })
print(json.dumps(rows))
