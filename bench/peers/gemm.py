"""The peer of gemm.ts: torch.matmul in f32 on the CPU."""
import torch
from peer import serve


def make(facts):
    if facts["type"] != "f32":
        return None
    a, b = torch.randn(facts["a"]), torch.randn(facts["b"])
    a = a.mT if facts["transposeA"] else a
    b = b.mT if facts["transposeB"] else b

    def run(count):
        for _ in range(count):
            torch.matmul(a, b)

    return run


serve(f"PyTorch {torch.__version__}, f32, {torch.get_num_threads()} threads", make)
