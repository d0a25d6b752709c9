"""The tokenizer in the formats of other libraries: tokenizers' JSON, and a chat template for transformers."""

from __future__ import annotations

from typing import Any

from reference.model import GPTConfig
from reference.tokenizer import SPLIT_PATTERN, Tokenizer

# What `Tokenizer.render` does, for the transformers library. The generation marks let it tell, like our mask,
# which tokens the assistant must learn to produce.
CHAT_TEMPLATE = """\
{{- '<|bos|>' -}}
{%- set system = messages[0]['content'] + '\\n\\n' if messages[0]['role'] == 'system' else '' -%}
{%- for message in (messages[1:] if system else messages) -%}
  {%- if message['role'] != ('assistant' if loop.index0 % 2 else 'user') -%}
    {{- raise_exception('user and assistant must alternate; a system message may come first') -}}
  {%- endif -%}
  {%- if message['role'] == 'user' -%}
    {{- '<|user_start|>' + (system if loop.first else '') + message['content'] + '<|user_end|>' -}}
  {%- else -%}
    {{- '<|assistant_start|>' -}}
    {%- set text = message['content'] is string -%}
    {%- set said = namespace(text='') -%}
    {%- for part in ([{'type': 'text', 'text': message['content']}] if text else message['content']) -%}
      {%- if part['type'] == 'python_output' -%}
        {%- generation -%}{{- said.text -}}{%- endgeneration -%}
        {{- '<|output_start|>' + part['text'] + '<|output_end|>' -}}
        {%- set said.text = '' -%}
      {%- elif part['type'] == 'python' -%}
        {%- set said.text = said.text + '<|python_start|>' + part['text'] + '<|python_end|>' -%}
      {%- else -%}
        {%- set said.text = said.text + part['text'] -%}
      {%- endif -%}
    {%- endfor -%}
    {%- generation -%}{{- said.text + '<|assistant_end|>' -}}{%- endgeneration -%}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant_start|>' -}}{%- endif -%}
"""


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The format of the tokenizers library: our merges and pattern, on letters that stand for bytes."""
    letters = _byte_letters()
    mergeable = tokenizer.vocab_size - len(tokenizer.special)
    tokens = ["".join(letters[byte] for byte in tokenizer.decode_bytes([i])) for i in range(mergeable)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": SPLIT_PATTERN}, "behavior": "Isolated", "invert": False}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": f"<|{name}|>", **plain, "special": True} for name, i in tokenizer.special.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,  # a chunk that is a token is that token, as tiktoken has it
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [[tokens[left], tokens[right]] for left, right in tokenizer.merges],
        },
    }


def _byte_letters() -> list[str]:
    """The letter for each byte in GPT-2's alphabet: itself if it is visible, else the next from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte if byte in visible else 0x100 + hidden.index(byte)) for byte in range(256)]


def tokenizer_config(config: GPTConfig) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|bos|>",
        "eos_token": "<|assistant_end|>",
        "pad_token": "<|assistant_end|>",
        "padding_side": "left",  # a batch of prompts must end where the answers begin
        "model_max_length": config.sequence_len,
        "chat_template": CHAT_TEMPLATE,
    }
