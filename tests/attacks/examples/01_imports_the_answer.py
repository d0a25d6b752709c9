"""Imports the worked answer."""

from reference.parts.grpo import advantages, policy_loss
