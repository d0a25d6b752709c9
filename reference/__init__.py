"""The worked answer: a complete small LLM stack, built from nine replaceable parts."""
