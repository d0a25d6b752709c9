"""Benchmarks: each compares one job of ours with a named peer, side by side in one process."""
