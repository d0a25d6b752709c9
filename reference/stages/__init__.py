"""The stages of a run, in order: tokenizer, base, mid, sft, rl. Each is one function that takes a Session."""
