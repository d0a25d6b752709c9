"""Presets, not knobs: the depth names a model, and the rest follows from it. Any value can be overridden by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from reference.errors import UserError
from reference.model import GPTConfig
from reference.optim import Rates
from reference.sizes import UPDATE_TOKENS, training_steps
from reference.tokenizer import SMALLEST_VOCABULARY


@dataclass(frozen=True)
class ChatPlan:
    """A chat stage, mid or sft.

    Attributes:
        steps: updates.
        rate: what all base learning rates are multiplied with.
        base_share: the share of rows that are base documents, so that what stands only there is not forgotten.
        two_step_examples: different worked two-step problems per kind of reasoning.
        warmdown: the last share of the steps, in which the rates fall linearly to 0.
    """

    steps: int
    rate: float
    base_share: float
    two_step_examples: int
    warmdown: float = 1.0


@dataclass(frozen=True)
class RLPlan:
    """Reinforcement learning: `prompts` problems a step with `samples` completions each.

    Attributes:
        rates: factors on the base learning rates.
        warmup: steps in which the rates rise; they fall linearly to 0 over all steps.
        rehearsal_rows: rows of supervised chat a step, so that the other skills are kept.
        rehearsal_weight: of their loss beside the policy loss.
        evaluate_every: at scale, steps from one evaluation on held-out problems to the next; 0 or less: off.
        held_out_problems: that are then tried, at most, each held_out_samples times.
    """

    steps: int
    prompts: int
    samples: int
    max_tokens: int
    rates: Rates
    warmup: int
    rehearsal_rows: int
    rehearsal_weight: float
    evaluate_every: int = 0
    held_out_problems: int = 400
    held_out_samples: int = 8


@dataclass(frozen=True)
class Preset:
    """Everything that defines a run but its seed, data and parts.

    `curriculum` says what it is taught after base training: "primer", the generated world, or "hub", the data sets of
    reference/data/hub.py.
    """

    name: str
    depth: int
    vocab_size: int
    sequence_len: int
    batch_rows: int  # rows of sequence_len tokens per update
    tokenizer_characters: int
    base_steps: int
    base_warmdown: float  # the last share of the steps, in which the rates fall linearly to 0
    mid: ChatPlan
    sft: ChatPlan
    rl: RLPlan
    answer_tokens: int  # the longest answer that evaluation waits for
    judged_examples: int  # at most so many per task
    head_dim: int = 128
    base_evaluations: int = 4  # of the bits per byte, spread over base training, and one at its end; 0 or less: off
    # read for one of them, and of mid's and sft's: as much held-out text as so many updates train on; 0 or less: off
    validation_updates: int = 4
    curriculum: str = "primer"

    def model_config(self, vocab_size: int) -> GPTConfig:
        """The model of this depth: width 64 * depth, in equal heads of at most head_dim columns.

        An odd depth may take more heads than ceil(width / head_dim): rope needs them of even size.
        """
        width = 64 * self.depth
        fewest = math.ceil(width / self.head_dim)
        heads = next(heads for heads in range(fewest, width) if width % (2 * heads) == 0)
        return GPTConfig(vocab_size, self.depth, heads, heads, width, self.sequence_len)


D4 = Preset(
    name="d4",
    depth=4,
    vocab_size=2048,
    sequence_len=256,
    batch_rows=16,
    tokenizer_characters=2_000_000,
    base_steps=250,
    base_warmdown=0.4,
    mid=ChatPlan(steps=100, rate=0.6, base_share=0.2, two_step_examples=0),
    sft=ChatPlan(steps=75, rate=0.4, base_share=0.2, two_step_examples=8),
    rl=RLPlan(
        steps=68,
        prompts=8,
        samples=16,
        max_tokens=40,
        rates=Rates(0.25, 0.04, 0.2),
        warmup=5,
        rehearsal_rows=8,
        rehearsal_weight=1.0,
    ),
    answer_tokens=40,
    judged_examples=256,
)


def at_scale(depth: int) -> Preset:
    """The preset of any depth for GPUs: nanochat's, on real data."""
    preset = Preset(
        name=f"d{depth}",
        depth=depth,
        vocab_size=65_536,
        sequence_len=2048,
        batch_rows=UPDATE_TOKENS // 2048,
        tokenizer_characters=2_000_000_000,
        base_steps=1,
        base_warmdown=0.2,
        mid=ChatPlan(steps=770, rate=1.0, base_share=0.0, two_step_examples=0, warmdown=0.2),  # 404 million tokens
        sft=ChatPlan(steps=701, rate=0.02, base_share=0.0, two_step_examples=0),
        rl=RLPlan(
            steps=467,  # 16 of GSM8K's 7,473 training problems a step
            prompts=16,
            samples=16,
            max_tokens=256,
            rates=Rates(0.05, 0.05, 0.05),
            warmup=1,
            rehearsal_rows=0,
            rehearsal_weight=0.0,
            evaluate_every=60,
        ),
        answer_tokens=512,
        judged_examples=1_000_000,
        validation_updates=20,
        curriculum="hub",
    )
    steps = training_steps(preset.model_config(preset.vocab_size))
    return replace(preset, base_steps=max(1, steps), base_evaluations=max(1, steps // 250))


PRESETS = {preset.name: preset for preset in (D4, *map(at_scale, (8, 12, 20, 26, 32)))}
LIMITS: dict[str, tuple[float, float]] = {  # all others: whole numbers from 1, numbers from 0, to a billion
    "vocab_size": (SMALLEST_VOCABULARY, 1e9),
    "tokenizer_characters": (1, 1e12),
    "base_warmdown": (0, 1),
    "warmdown": (0, 1),
    "base_share": (0, 1),
    "two_step_examples": (0, 1e9),
    "prompts": (1, 512),  # some length of prompt has to occur a quarter as often among the practice problems
    "evaluate_every": (-1, 1e9),
    "base_evaluations": (-1, 1e9),
    "validation_updates": (-1, 1e9),
    "head_dim": (2, 1e9),
}


def read_preset(settings: dict[str, Any]) -> Preset:
    """The preset that run.json holds as `settings`; UserError when it is one of another version."""
    try:
        rl = settings["rl"]
        plans = {"mid": ChatPlan(**settings["mid"]), "sft": ChatPlan(**settings["sft"])}
        return Preset(**{**settings, **plans, "rl": RLPlan(**{**rl, "rates": Rates(**rl["rates"])})})
    except (KeyError, TypeError) as error:
        raise UserError(
            "The run was begun with another version of this program; go on with that, or begin a run with --tag NEW."
        ) from error


def get_preset(name: str) -> Preset:
    """The preset of that name; UserError when there is none."""
    if name not in PRESETS:
        raise UserError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name]


def override(preset: Preset, settings: dict[str, str]) -> Preset:
    """`preset` with values changed, {"base_steps": "100", "rl.steps": "10"}; UserError for a bad name or value."""
    for setting, text in settings.items():
        preset = _changed(preset, setting.split("."), setting, text)
    return preset


def _changed(target: Any, path: list[str], setting: str, text: str) -> Any:
    """`target` with the value that `path` leads to replaced by the number in `text`."""
    name, *rest = path
    value = vars(target).get(name)
    if rest and is_dataclass(value):
        return replace(target, **{name: _changed(value, rest, setting, text)})
    if rest or not isinstance(value, (int, float)):
        raise UserError(f"There is no setting {setting!r}; see reference/presets.py for the names.")
    whole = isinstance(value, int)
    low, high = LIMITS.get(name, (int(whole), 1e9))
    try:
        number = type(value)(text)
        if not low <= number <= high:  # nor is NaN
            raise ValueError
    except ValueError as error:
        kind = "a whole number" if whole else "a number"
        raise UserError(f"{setting} needs {kind} from {low:,} to {high:,.0f}, not {text!r}.") from error
    return replace(target, **{name: number})
