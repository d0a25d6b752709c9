"""The primer: a small world in plain English that a depth-4 model can master, generated from a seed."""
