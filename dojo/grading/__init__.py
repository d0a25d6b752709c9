"""Grading: what a submission earns, found in trusted processes, while its own code runs in a sandboxed one."""
