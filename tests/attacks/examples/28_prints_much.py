"""With the worked answer below: ten megabytes of chatter at its import."""

for _ in range(1000):
    print("x" * 10_000)
