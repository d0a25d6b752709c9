"""The proofs: after its kata is green, a learner's part goes into the stack and something is trained with it."""
