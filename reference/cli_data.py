"""Commands that fetch or make data: python -m reference data | identity."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from reference.errors import UserError

FOLDER = click.Path(path_type=Path, file_okay=False)
ROOT = click.option(
    "--data",
    "--root",
    "root",
    default=None,
    type=FOLDER,
    metavar="DIR",
    help="Where data lies; by default $NANOKATA_DATA, or else ~/.cache/nanokata.",
)


@click.command()
@click.option("-n", "--shards", "count", type=int, metavar="N", help="The first N training shards; 0 or less: all.")
@click.option(
    "-w", "--workers", default=4, show_default=True, type=click.IntRange(1, 64), metavar="N", help="Shards at a time."
)
@click.option(
    "--first",
    default=0,
    metavar="N",
    help="End when the first N training shards are there; another process fetches the rest. 0 or less: off.",
)
@click.option(
    "--source",
    default=None,
    metavar="URL|DIR",
    help="Where the shards are; by default where the first came from, the hub.",
)
@click.option(
    "--shards-in-all",
    default=None,
    type=click.IntRange(2),
    metavar="N",
    help="How many a URL has; the last is for validation. By default 1823; of a folder they are counted.",
)
@click.option("--out", default=None, type=FOLDER, metavar="DIR", help="Where they go; by default base_data in --data.")
@click.option("--words", is_flag=True, help="Fetch the word list of the spelling tasks.")
@click.option("--bundle", is_flag=True, help="Fetch the bundle of the CORE evaluation (162 MB).")
@ROOT
def data(
    count: int | None,
    workers: int,
    first: int,
    source: str | None,
    shards_in_all: int | None,
    out: Path | None,
    words: bool,
    bundle: bool,
    root: Path | None,
) -> None:
    """Fetch what a large model trains on. The same command again goes on where it stopped."""
    from reference.core.bundle import fetch_bundle
    from reference.data.download import Downloader
    from reference.data.hub import data_root
    from reference.data.shards import HUB_SHARDS, fetch_in_background, fetch_shards, shard_source, source_of
    from reference.tasks.spelling import WORDS_URL

    if count is None and not words and not bundle:
        raise UserError("Say what to fetch: -n 240 for so many shards, --words, or --bundle.")
    root, console = root or data_root(), Console(highlight=False)
    if words:
        Downloader().fetch(WORDS_URL, root / "words" / "words_alpha.txt")
        click.echo(root / "words" / "words_alpha.txt")
    if bundle:
        fetch_bundle(root / "eval_bundle")
        click.echo(root / "eval_bundle")
    if count is not None:
        folder = out or root / "base_data"
        shards = shard_source(source, shards_in_all or HUB_SHARDS) if source else source_of(folder)
        if fetch_shards(shards.plan(count), folder, console, first, workers):
            again = ["-n", str(count), "-w", str(workers), "--source", shards.url, "--out", str(folder)]
            fetch_in_background([*again, "--shards-in-all", str(shards.count)], folder, console)


@click.command()
@click.option(
    "--persona",
    default=None,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A persona file; by default the project's.",
)
@click.option(
    "-n",
    "--count",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="How many conversations.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), metavar="N", help="Of the choices among wordings."
)
@click.option(
    "--out", default=None, type=click.Path(path_type=Path), metavar="FILE", help="By default identity.jsonl in --data."
)
@ROOT
def identity(persona: Path | None, count: int, seed: int, out: Path | None, root: Path | None) -> None:
    """Write conversations about who the model is, from a persona file: reference/data/persona.yaml."""
    from reference.data.hub import data_root
    from reference.tasks.identity import PERSONA, read_persona, write_conversations

    out = out or (root or data_root()) / "identity.jsonl"
    write_conversations(out, read_persona(persona or PERSONA), count, seed)
    click.echo(out)


COMMANDS = (data, identity)
