"""What a training stage shows while it runs: a live bar in a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

REFRESH_SECONDS = 0.25
SMOOTHING = 0.9  # weight of the past in the shown loss and reward


class StageProgress:
    """The progress of one stage, from `done_steps` (more than 0 after a resume) to `total_steps`.

    Use it as a context manager and call `update` after each step. It draws at most four times a second, and
    within `update`, so that it costs training nothing. Where there is no terminal it prints `lines` plain lines.
    """

    def __init__(self, stage: str, total_steps: int, done_steps: int, console: Console, lines: int = 10) -> None:
        self.stage, self.total, self.console, self.of_lines = stage, total_steps, console, lines
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TextColumn("{task.fields[state]}", table_column=Column(no_wrap=True)),
            console=console,
            auto_refresh=False,
            expand=True,
            disable=not console.is_terminal,
        )
        state = f"{done_steps}/{total_steps}"
        self.task = self.bar.add_task(stage, total=total_steps, completed=done_steps, state=state)
        self.loss, self.reward = Smoothed(), Smoothed()
        self.started = self.drawn = time.monotonic()
        self.first: tuple[int, float] | None = None  # the pace counts from there: the first step may compile
        self.lines = done_steps * lines // total_steps

    def __enter__(self) -> StageProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()  # draws it once more

    def update(
        self,
        step: int,
        loss: float | None = None,
        tokens_per_second: float | None = None,
        reward: float | None = None,
        lr_scale: float | None = None,
        mfu: float | None = None,
    ) -> None:
        """Say that `step` steps are done (1 after the first), with the loss or reward of the last one."""
        now = time.monotonic()
        self.first = self.first or (step, now)
        words = [f"{step}/{self.total}"]
        if loss is not None:
            words.append(f"loss {self.loss.add(loss):.3f}")
        if reward is not None:
            words.append(f"reward {self.reward.add(reward):.3f}")
        if lr_scale is not None:
            words.append(f"rates x {lr_scale:.2f}")
        if tokens_per_second is not None:
            words.append(f"{tokens_per_second:,.0f} tokens/s")
        if mfu is not None:
            words.append(f"{mfu:.1%} MFU")
        words.append(f"{clock(now - self.started)} gone")
        if step > self.first[0]:
            pace = (now - self.first[1]) / (step - self.first[0])
            words.append(f"{clock(pace * (self.total - step))} left")
        state = "  ".join(words)
        self.bar.update(self.task, completed=step, state=state)
        if self.console.is_terminal:
            if now - self.drawn >= REFRESH_SECONDS:
                self.drawn = now
                self.bar.refresh()
        elif step * self.of_lines // self.total > self.lines:
            self.lines = step * self.of_lines // self.total
            say(self.console, f"{self.stage}  {state}")


class Smoothed:
    """An exponential moving average without the pull towards zero at its start."""

    def __init__(self) -> None:
        self.sum = self.weight = 0.0

    def add(self, value: float) -> float:
        self.sum = SMOOTHING * self.sum + (1 - SMOOTHING) * value
        self.weight = SMOOTHING * self.weight + (1 - SMOOTHING)
        return self.sum / self.weight


def say(console: Console, text: str) -> None:
    """Print `text` as it is (above the bar, if there is one): no markup, no colors, no added line breaks."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def say_accuracy(console: Console, name: str, right: int, total: int, begun: float) -> None:
    """Print one task's result, and how long it took since time.monotonic() was `begun`."""
    seconds = time.monotonic() - begun
    say(console, f"{name:<34} {right:>6,} of {total:>6,}  {right / total:7.2%}  ({seconds:.0f} s)")


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
