"""Never comes back."""


def advantages(rewards):
    while True:
        pass


def policy_loss(logprobs, advantages, mask):
    return None
