"""The progress of a stage: few plain lines where there is no terminal, a cheap bar where there is."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from reference.progress import StageProgress, say


def console(terminal: bool, width: int = 100) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=terminal, width=width), stream


@pytest.mark.parametrize(
    ("total", "done", "lines"),
    [(400, 0, 10), (400, 200, 5), (400, 399, 1), (4, 0, 4), (25, 0, 10), (1, 0, 1)],
)
def test_plain_lines(total: int, done: int, lines: int) -> None:
    """Without a terminal a stage prints ten lines at most, a resumed one its share, one at the last step."""
    screen, stream = console(terminal=False)
    with StageProgress("base", total, done, screen) as bar:
        for step in range(done + 1, total + 1):
            bar.update(step, loss=2.5, tokens_per_second=7012.4)
    printed = stream.getvalue().splitlines()
    assert len(printed) == lines
    end = rf"base  {total}/{total}  loss 2\.500  7,012 tokens/s  \d+:\d\d gone(  0:00 left)?"
    assert re.fullmatch(end, printed[-1])
    assert "\x1b" not in stream.getvalue()


def test_lines_are_not_broken() -> None:
    """A narrow pipe does not break a line in two, and text is printed as it is, brackets too."""
    screen, stream = console(terminal=False, width=20)
    text = "before: [bold]Paris[/bold] 12 ... after: <|python_start|>'x'" * 2
    say(screen, text)
    assert stream.getvalue() == text + "\n"


def test_the_bar_draws_seldom() -> None:
    """In a terminal thousands of quick updates draw few frames; the last frame shows the last step."""
    screen, stream = console(terminal=True)
    with StageProgress("rl", 5000, 0, screen) as bar:
        for step in range(1, 5001):
            bar.update(step, reward=0.25)
    written = stream.getvalue()
    assert written.count("reward 0.250") < 500
    assert "5000/5000  reward 0.250" in written
    assert "rl" in written


def test_text_during_the_bar_goes_above_it() -> None:
    """Text said while the bar is shown is a line of its own."""
    screen, stream = console(terminal=True)
    with StageProgress("mid", 10, 0, screen) as bar:
        bar.update(1, loss=1.0)
        say(screen, "before: x  after: y")
    assert "before: x  after: y\n" in stream.getvalue()


def test_loss_is_smoothed_without_a_pull_to_zero() -> None:
    """The first value is shown as it is, later ones change the shown value by a tenth of the way at most."""
    screen, stream = console(terminal=False)
    with StageProgress("sft", 100, 90, screen) as bar:
        for step in range(91, 101):
            bar.update(step, loss=8.0 if step < 100 else 0.0)
    weights = [0.9**age for age in range(10)]
    expected = 8.0 * sum(weights[1:]) / sum(weights)
    assert f"loss {expected:.3f}" in stream.getvalue()


def test_an_interruption_passes_through() -> None:
    """Ctrl-C during a stage ends the bar, gives the cursor back and goes on to the caller."""
    screen, stream = console(terminal=True)
    with pytest.raises(KeyboardInterrupt), StageProgress("base", 10, 0, screen):
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\x1b[?25h")
