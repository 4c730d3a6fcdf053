"""The peer of gemm.ts: torch.matmul in f32 on the CPU.

Standard input: a JSON list of {a, b, transposeA, transposeB}. Prints one JSON line: what ran, and the median
milliseconds of each product.
"""
import json
import statistics
import sys
import time

import torch

round_ms = 20


def batch_ms(a, b, count):
    start = time.perf_counter()
    for _ in range(count):
        torch.matmul(a, b)
    return (time.perf_counter() - start) * 1000 / count


medians = []
for p in json.load(sys.stdin):
    a, b = torch.randn(p["a"]), torch.randn(p["b"])
    a = a.mT if p["transposeA"] else a
    b = b.mT if p["transposeB"] else b
    batch_ms(a, b, 3)
    count = max(1, min(500, round(round_ms / batch_ms(a, b, 3))))
    medians.append(statistics.median(batch_ms(a, b, count) for _ in range(7)))
what = f"PyTorch {torch.__version__}, f32, {torch.get_num_threads()} threads"
print(json.dumps({"what": what, "ms": medians}))
