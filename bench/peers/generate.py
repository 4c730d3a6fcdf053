# Batched decoding by transformers on PyTorch CPU, f32: the peer of generate.ts.
import json
import statistics
import sys
import time

import torch
from transformers import LlamaForCausalLM

folder, count, new_tokens, repeats = sys.argv[1], *map(int, sys.argv[2:])
model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
vocabulary = model.config.vocab_size
prompts = [[3 + ((i + j) * 7919) % (vocabulary - 3) for j in range(32 + 4 * i)] for i in range(count)]
options = dict(do_sample=True, max_new_tokens=new_tokens, pad_token_id=0)


def run(batch):
    tokens = 0
    for at in range(0, count, batch):
        some = prompts[at : at + batch]
        width = max(map(len, some))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in some])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in some])
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=mask, **options)
        for row in out[:, width:].tolist():
            tokens += row.index(model.config.eos_token_id) + 1 if model.config.eos_token_id in row else len(row)
    return tokens


rows = []
for batch in (1, 8):
    run(batch)
    times = []
    for _ in range(repeats):
        torch.manual_seed(0)
        started = time.perf_counter()
        tokens = run(batch)
        times.append(time.perf_counter() - started)
    seconds = statistics.median(times)
    what = f"transformers, PyTorch {torch.__version__} CPU f32, {batch} together"
    rows.append({"what": what, "seconds": seconds, "tokens_per_second": tokens / seconds})
print(json.dumps(rows))
