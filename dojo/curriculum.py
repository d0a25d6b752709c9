"""The nine katas: their order, their names, and where their files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Kata:
    """One exercise.

    Attributes:
        number: 1 to 9, the recommended order.
        name: of its folder, of its stub and of its part.
        title: what it teaches, in a few words.
        functions, classes: the names of its contract.
        torch: whether its values are tensors; the others answer without importing torch.
    """

    number: int
    name: str
    title: str
    functions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    torch: bool = True

    @property
    def label(self) -> str:
        return f"{self.number:02d}"

    @property
    def names(self) -> tuple[str, ...]:
        return self.functions + self.classes

    @property
    def folder(self) -> Path:
        return ROOT / "katas" / self.name

    @property
    def file(self) -> Path:
        """The learner's own file."""
        return self.folder / f"{self.name}.py"

    @property
    def tests(self) -> Path:
        return self.folder / f"test_{self.name}.py"

    @property
    def answer(self) -> Path:
        """The worked answer."""
        return ROOT / "reference" / "parts" / f"{self.name}.py"

    @property
    def mistakes(self) -> Path:
        return self.folder / "mistakes.py"


KATAS = (
    Kata(1, "bpe", "text becomes tokens", ("merge", "train", "encode", "decode"), torch=False),
    Kata(2, "rmsnorm", "numbers keep their size", ("rms_norm",)),
    Kata(3, "rope", "positions become angles", ("rotary_tables", "apply_rotary")),
    Kata(4, "attention", "tokens look at tokens", ("causal_attention",)),
    Kata(5, "muon", "an optimizer for matrices", ("orthogonalize", "muon_step")),
    Kata(6, "loss_mask", "what a model should learn to say", ("render", "masked_cross_entropy")),
    Kata(7, "grpo", "learning from rewards", ("advantages", "policy_loss")),
    Kata(8, "kv_cache", "nothing is computed twice", (), ("KVCache",)),
    Kata(9, "tools", "a calculator in the middle of a sentence", ("calculate",), ("Dispatcher",), False),
)


def find_kata(word: str) -> Kata | None:
    """The kata of a number ("3", "03") or a name ("rope")."""
    return next((kata for kata in KATAS if word in (kata.name, kata.label, str(kata.number))), None)


def kata_of(path: Path) -> Kata | None:
    """The kata in whose folder a file lies."""
    place = path.resolve()
    return next((kata for kata in KATAS if place.is_relative_to(kata.folder)), None)
