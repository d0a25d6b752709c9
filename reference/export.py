"""A run's model as a folder that the transformers library loads: NanoChatForCausalLM with its tokenizer.

    config.json  generation_config.json  model.safetensors    the model
    tokenizer.json  tokenizer_config.json                     the tokenizer and the chat template
    README.md                                                 how to load and use them

transformers itself is not needed: the files are written directly, in the formats of transformers 5.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from reference.checkpoint import user_error_unless_written, write_atomically
from reference.errors import UserError
from reference.export_tokenizer import tokenizer_config, tokenizer_json
from reference.loss import CAP
from reference.model import GPT, RMS_EPS, GPTConfig
from reference.parts import Parts
from reference.run import Run
from reference.stages.session import last_stage, load_model, tokenizer_file
from reference.tokenizer import Tokenizer

FILES = {
    "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "README.md",
}  # fmt: skip

WEIGHT_NAMES = {
    "transformer.wte": "model.embed_tokens",
    "transformer.h": "model.layers",
    "attn.c_q": "self_attn.q_proj",
    "attn.c_k": "self_attn.k_proj",
    "attn.c_v": "self_attn.v_proj",
    "attn.c_proj": "self_attn.o_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def export(run: Run, stage: str | None = None, out: Path | None = None) -> Path:
    """Write the last checkpoint of a stage to the folder `out`.

    Args:
        run: a run with a tokenizer and a trained stage.
        stage: base, mid, sft or rl; None takes the last of them that is complete.
        out: where to; None means the folder `export` in the run. An earlier export there is replaced.

    Returns:
        The absolute path of the folder, which is there whole or not at all.

    Raises:
        UserError: no such stage, nothing trained, or something in `out` that is no export.
    """
    stage = stage or last_stage(run)
    folder = (out or run.path / "export").resolve()
    _check_replaceable(folder)
    model, tokenizer = load_model(run, stage, Parts()), Tokenizer.load(tokenizer_file(run))
    origin = {"nanokata": {"run": run.tag, "stage": stage}}  # transformers keeps what it does not know
    contents = {
        "config.json": _json({**_config(model.config, tokenizer), **origin}),
        "generation_config.json": _json(_generation_config(tokenizer)),
        "model.safetensors": safetensors.torch.save(_weights(model), {"format": "pt"}),
        "tokenizer.json": _json(tokenizer_json(tokenizer)),
        "tokenizer_config.json": _json(tokenizer_config(model.config)),
        "README.md": _model_card(run, stage, model.config).encode(),
    }
    _put(folder, contents)
    return folder


def _weights(model: GPT) -> dict[str, Tensor]:
    V = model.config.vocab_size
    weights = {}
    for name, weight in model.state_dict().items():
        for ours, theirs in WEIGHT_NAMES.items():
            name = name.replace(ours, theirs)
        # Rows for padding would be words to transformers: their logits of 0 would take part in its softmax.
        padded = name in ("model.embed_tokens.weight", "lm_head.weight")
        weights[name] = weight[:V].clone() if padded else weight
    return weights


def _config(config: GPTConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    special = tokenizer.special
    return {
        "architectures": ["NanoChatForCausalLM"],
        "model_type": "nanochat",
        "vocab_size": config.vocab_size,
        "hidden_size": config.n_embd,
        "intermediate_size": 4 * config.n_embd,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "max_position_embeddings": config.sequence_len,
        "hidden_act": "relu2",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rms_norm_eps": RMS_EPS,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "final_logit_softcapping": CAP,
        "tie_word_embeddings": False,
        "bos_token_id": special["bos"],
        "eos_token_id": special["assistant_end"],
        "pad_token_id": special["assistant_end"],
        "use_cache": True,
        "dtype": "float32",
    }


def _generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    special = tokenizer.special
    return {
        "bos_token_id": special["bos"],
        "eos_token_id": [special["assistant_end"], special["bos"]],  # an answer ends, or a document does
        "pad_token_id": special["assistant_end"],
    }


def _model_card(run: Run, stage: str, config: GPTConfig) -> str:
    chat = '[{"role": "user", "content": "Who are you?"}]'
    prompt = '"<|bos|>Once upon a time"' if stage == "base" else chat
    return f"""\
---
library_name: transformers
pipeline_tag: text-generation
---

# {run.tag}, after the stage {stage}

A language model in nanochat's architecture, trained by nanokata: {config.n_layer} layers,
{config.n_head} heads, width {config.n_embd}, {config.vocab_size:,} tokens, context {config.sequence_len}.

To load and use it, in this folder:

```python
from transformers import pipeline

generate = pipeline("text-generation", ".")
print(generate({prompt}, max_new_tokens=40, return_full_text=False)[0]["generated_text"])
```

- The chat template writes the format of the training: a system message, if there is one, and then user and
  assistant in turn. The model asks a calculator with `<|python_start|>...<|python_end|>` and is answered with
  `<|output_start|>...<|output_end|>`; transformers has no calculator, so here it writes the answer itself.
- A document begins with `<|bos|>`; the tokenizer does not add it.
- `<|assistant_end|>` and the other special tokens are also found in the text of a message. For text that you
  do not trust, call the tokenizer with `split_special_tokens=True`: then they are letters.
"""


def _check_replaceable(folder: Path) -> None:
    """Nothing at `folder`, or an empty folder, or files that `export` wrote and no other."""
    if not folder.exists():
        return
    names = {file.name for file in folder.iterdir()} if folder.is_dir() else {folder.name}
    if names and not (names <= FILES and _is_ours(folder / "config.json")):
        raise UserError(f"{folder} is there and is no export; move it away, or export to another folder.")


def _is_ours(config: Path) -> bool:
    try:
        return isinstance(json.loads(config.read_bytes())["nanokata"], dict)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _put(folder: Path, contents: dict[str, bytes]) -> None:
    new, old = (folder.with_name(f".{folder.name}.{age}.tmp") for age in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)  # what a killed process left
    try:
        for name, data in contents.items():
            write_atomically(new / name, data)
        with user_error_unless_written(folder):
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
                folder.rename(old)
            new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
