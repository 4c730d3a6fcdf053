"""The peer of pointwise.ts: PyTorch in f32 on the CPU."""
import torch
import torch.nn.functional as F
from peer import serve


def adamw(facts):
    parameters = [torch.randn(shape, requires_grad=True) for shape in facts["shapes"]]
    for p in parameters:
        p.grad = torch.randn_like(p)
    return torch.optim.AdamW(parameters, lr=2e-4).step


def make(facts):
    if facts["op"] == "adamw":
        return repeated(adamw(facts))
    shape = facts["shape"]
    x, y, z = (torch.randn(shape) for _ in range(3))
    weight = torch.randn(shape[-1])
    labels = torch.arange(shape[0]) % shape[-1]
    ops = {
        "scale": lambda: x * 2,
        "add": lambda: x + y,
        "mulAdd": lambda: torch.addcmul(z, x, y),
        "exp": lambda: torch.exp(x),
        "silu": lambda: F.silu(x),
        "permute": lambda: x.T.contiguous(),
        "dropout": lambda: F.dropout(x, 0.05),
        "softmax": lambda: F.softmax(x, -1),
        "rmsNorm": lambda: F.rms_norm(x, shape[-1:], weight, 1e-5),
        "crossEntropy": lambda: F.cross_entropy(x, labels, reduction="none"),
    }
    return repeated(ops[facts["op"]])


def repeated(f):
    def run(count):
        for _ in range(count):
            f()

    return run


serve(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", make)
