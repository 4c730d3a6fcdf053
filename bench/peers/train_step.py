"""The peer of train-step.ts: PyTorch, transformers and PEFT on the same model, shapes and optimizer, f32 on the CPU.

train_step.py MODEL BATCH TOKENS; it knows no penalty.
"""
import sys

import peft
import torch
import transformers
from peer import serve

model_dir, batch, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
model = transformers.LlamaForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
model = peft.get_peft_model(
    model,
    peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["gate_proj", "up_proj", "down_proj"]),
)
parameters = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=2e-4)
ids = torch.randint(3, model.config.vocab_size, (batch, tokens))


def run(count):
    for _ in range(count):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        loss.item()


what = f"PyTorch {torch.__version__}, PEFT {peft.__version__}, {torch.get_num_threads()} threads"
serve(what, lambda facts: run if facts["lambda"] == 0 else None)
