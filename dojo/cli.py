"""The command line of the katas: python -m dojo kata | progress | next | hint | watch | grade | ..."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from dojo.curriculum import KATAS, ROOT, Kata, find_kata
from dojo.grading.formats import FORMATS


class KataName(click.ParamType):
    name = "kata"

    def convert(self, value: Any, param: Any, context: Any) -> Kata:
        kata = find_kata(str(value))
        if kata is None:
            names = ", ".join(f"{kata.label} {kata.name}" for kata in KATAS)
            raise click.UsageError(f"There is no kata {value!r}; the katas are {names}")
        return kata


class Group(click.Group):
    """A group whose errors are one sentence and exit status 2, and whose Ctrl-C is status 130."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            return super().main(*args, **kwargs)
        except click.ClickException as error:
            command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
            hint = f"; see {command} --help" if command else ""
            print(f"{error.format_message().rstrip('.')}{hint}.", file=sys.stderr)
            sys.exit(2)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(130)


KATA = click.argument("kata", type=KataName())
PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def console() -> Console:
    return Console(highlight=False)


@click.group(cls=Group)
def main() -> None:
    """Practise: nine katas, from bytes to tools."""


@main.command(context_settings=PASSED_ON)
@KATA
@click.argument("arguments", nargs=-1)
def kata(kata: Kata, arguments: tuple[str, ...]) -> None:
    """Run a kata's tests; when they are green, train with the learner's part. ARGUMENTS go to pytest."""
    status = run_tests(kata, *arguments)
    if status == 0 and not arguments:
        from dojo.proof import prove

        status = prove(kata, console())
    sys.exit(status)


def run_tests(kata: Kata, *arguments: str) -> int:
    """pytest on a kata, in a process of its own, since a learner's file may end it; its exit status."""
    return subprocess.call([sys.executable, "-m", "pytest", str(kata.folder.relative_to(ROOT)), *arguments], cwd=ROOT)


@main.command()
@click.option("--run", "all_tests", is_flag=True, help="First run the tests of every kata that is begun.")
@click.option("--format", "how", default="table", type=click.Choice(["table", "markdown"]))
def progress(all_tests: bool, how: str) -> None:
    """Show the map: nine katas, and how far each of them is."""
    from dojo.map import markdown, refresh, show_map

    refresh(all_tests)
    if how == "markdown":
        print(markdown())
    else:
        show_map(console())


@main.command(name="next")
def next_kata() -> None:
    """Say what to do now."""
    from dojo.map import what_now

    console().print(what_now(), soft_wrap=True)


@main.command()
@KATA
def hint(kata: Kata) -> None:
    """Reveal the next hint."""
    from dojo.hints import reveal

    console().print(reveal(kata), markup=False)


@main.command()
def watch() -> None:
    """Run the tests of the kata whose file was saved, on every save."""
    from dojo.watch import watch_katas

    watch_katas(console(), run_tests)


@main.command()
@KATA
def reset(kata: Kata) -> None:
    """Put the stub back, and keep a copy of what was there."""
    from dojo.stub import put_back

    console().print(put_back(kata), markup=False, soft_wrap=True)


@main.command()
@KATA
def solution(kata: Kata) -> None:
    """Show the worked answer, and how it differs from the learner's file."""
    from dojo.solution import show_solution

    show_solution(kata, console())


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1)
@click.option("--reference", "left_out", multiple=True, type=KataName(), help="Use the reference's part of a kata.")
def d4(arguments: tuple[str, ...], left_out: tuple[Kata, ...]) -> None:
    """Train the d4 model with every green kata of the learner; the other parts are the reference's."""
    from dojo.stack import green_parts
    from reference.cli import main as reference

    reference(["d4", *arguments], prog_name="python -m dojo", obj=green_parts(left_out))


@main.command()
@click.argument("submissions", nargs=-1, required=True, metavar="SUBMISSION...")
@click.option("--kata", "katas", multiple=True, type=KataName(), help="Only this kata; may be given more than once.")
@click.option("--out", default="grades", type=click.Path(path_type=Path), metavar="DIR", help="Where results go.")
@click.option("--format", "formats", multiple=True, default=["all"], type=click.Choice(["all", *FORMATS]))
@click.option("--jobs", default=usable_cores, type=click.IntRange(1), help="Submissions at a time; one for each core.")
@click.option("--hidden-seed", type=click.IntRange(0), help="Of the unseen cases; drawn, and told, where not given.")
def grade(
    submissions: tuple[str, ...],
    katas: tuple[Kata, ...],
    out: Path,
    formats: tuple[str, ...],
    jobs: int,
    hidden_seed: int | None,
) -> None:
    """Grade submissions: folders, archives, git repositories, single files, or folders of them."""
    from dojo.grading.command import Order
    from dojo.grading.command import grade as grade_submissions
    from reference.errors import UserError

    chosen = tuple(kata for kata in KATAS if kata in katas or not katas)
    wanted = frozenset(FORMATS if "all" in formats else formats)
    try:
        status = grade_submissions(Order(submissions, chosen, out, wanted, jobs, hidden_seed), console())
    except UserError as error:
        raise click.UsageError(str(error)) from None
    sys.exit(status)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1)
@click.option("--reference", "left_out", multiple=True, type=KataName(), help="Use the reference's part of a kata.")
def train(arguments: tuple[str, ...], left_out: tuple[Kata, ...]) -> None:
    """Run a command of `python -m reference`, such as base-train, with every green kata of the learner."""
    from dojo.stack import green_parts
    from reference.cli import main as reference

    reference(list(arguments), prog_name="python -m dojo train", obj=green_parts(left_out))


@main.command()
@click.option("--tag", default="checkpoints", metavar="NAME", help="The run whose checkpoints are taken.")
def checkpoints(tag: str) -> None:
    """Put the checkpoints of a finished run into checkpoints/."""
    from reference.run import Run
    from reference.shipped import ship

    written = ship(Run.open(Path("runs"), tag))
    console().print(f"checkpoints/ holds the run {tag} now, {written / 1e6:.1f} MB.")
