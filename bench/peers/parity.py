"""What PyTorch, transformers and PEFT make of a model: an adapter, and with it logits, the loss and gradients.

parity.py MODEL OUT TOKENS POSITIONS: ids are 3 + (7919·i mod v − 3), all scored; everything in f32. OUT gets
adapter/ (r = 8 on the MLP, no half of it zero) and outputs.safetensors: with that the logits [positions, v] of evenly
spread positions, the mean loss, and the gradient of each half.
"""
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file

model_dir, out, tokens, positions = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.manual_seed(0)
base = transformers.AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
ids = 3 + (7919 * torch.arange(tokens)) % (base.config.vocab_size - 3)
at = torch.arange(1, positions + 1) * (tokens // positions) - 1
mlp = [name for name, module in base.model.layers[0].mlp.named_children() if isinstance(module, torch.nn.Linear)]
config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=mlp)
model = peft.get_peft_model(base, config)
for name, parameter in model.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(parameter, std=0.02)
model.save_pretrained(f"{out}/adapter")

head = base.lm_head
hidden = model.get_base_model().model(input_ids=ids[None]).last_hidden_state[0]
outputs = {"logits": head(hidden[at]).detach()}

# The mean cross-entropy of transformers, with the vocabulary met a chunk of rows at a time.
scored = hidden.detach()[:-1].requires_grad_()
total = 0.0
for start in range(0, tokens - 1, 512):
    rows = slice(start, start + 512)
    loss = torch.nn.functional.cross_entropy(head(scored[rows]), ids[1:][rows], reduction="sum") / (tokens - 1)
    loss.backward()
    total += loss.item()
hidden[:-1].backward(scored.grad)
outputs["loss"] = torch.tensor([total], dtype=torch.float32)
for name, parameter in model.named_parameters():
    if parameter.requires_grad:
        outputs[name.replace(".default", "")] = parameter.grad
save_file({name: value.contiguous() for name, value in outputs.items()}, f"{out}/outputs.safetensors")
print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}, PEFT {peft.__version__}, f32")
