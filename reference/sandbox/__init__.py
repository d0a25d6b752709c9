"""The one place where code that nobody here trusts runs: a learner's submission, a Python program that a model wrote.

Two walls. Around the first process, where the system has them: bubblewrap, else namespaces (walls.py). And what every
process that runs untrusted code gives up for good before it reads the first line of it, which needs no rights and so
holds in a container as well: limits, Landlock, seccomp (lockdown.py). The first process imports what takes long and
forks one process for each piece of code (nursery.py, sandbox.py), so that a fresh one costs milliseconds and nothing
is left of the last one.

Whoever runs code here believes nothing that it says beyond the answer that was asked of it. Imports no torch.
"""
