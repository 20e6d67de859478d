"""Run by an engine's own Python: the tiny model with weights on disk, for servers that cannot draw them themselves.

python save_random_model.py FOLDER_OF_THE_TINY_MODEL TARGET
"""

import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

source, target = map(Path, sys.argv[1:])
torch.manual_seed(0)
AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source), dtype=torch.float32).save_pretrained(target)
for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
    shutil.copy(source / name, target / name)
