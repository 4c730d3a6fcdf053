"""The peer of generate.ts: batched decoding by transformers on PyTorch CPU, f32.

generate.py MODEL PROMPTS NEW_TOKENS
"""
import sys

import torch
from peer import serve
from transformers import LlamaForCausalLM

folder, prompt_count, new_tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
vocabulary, eos = model.config.vocab_size, model.config.eos_token_id
prompts = [[3 + ((i + j) * 7919) % (vocabulary - 3) for j in range(32 + 4 * i)] for i in range(prompt_count)]
options = dict(do_sample=True, max_new_tokens=new_tokens, pad_token_id=0)


def decode(batch):
    tokens = 0
    for at in range(0, prompt_count, batch):
        some = prompts[at : at + batch]
        width = max(map(len, some))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in some])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in some])
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=mask, **options)
        for row in out[:, width:].tolist():
            tokens += row.index(eos) + 1 if eos in row else len(row)
    return {"tokens_per_second": tokens}


def make(facts):
    def run(_):
        torch.manual_seed(0)
        return decode(facts["batch"])

    return run


serve(f"transformers, PyTorch {torch.__version__} CPU f32", make)
