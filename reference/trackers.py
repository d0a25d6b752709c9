"""Where the logged numbers go besides metrics.jsonl, if anywhere: Weights & Biases or TensorBoard."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol

from reference.errors import UserError

TRACKERS = ("off", "wandb", "tensorboard")


class Tracker(Protocol):
    """Takes what metrics.jsonl takes."""

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None: ...


class Off:
    """Nothing but metrics.jsonl."""

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        pass


class WeightsAndBiases:
    """A W&B run named after the tag, one chart per stage and number; a run that goes on is gone on with there."""

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self._run = module.init(project="nanokata", name=folder.name, id=folder.name, resume="allow", dir=str(folder))

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self._run.log({f"{stage}/{name}": value for name, value in {"step": step, **values}.items()})


class TensorBoard:
    """Event files in the folder tensorboard/ of the run; to see them: tensorboard --logdir runs."""

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self._writer = module.SummaryWriter(log_dir=str(folder / "tensorboard"))

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)


def tracker(
    name: str, folder: Path, is_main: bool = True, load: Callable[[str], ModuleType] = importlib.import_module
) -> Tracker:
    """The tracker called `name`, one of TRACKERS.

    Args:
        name: which.
        folder: of the run.
        is_main: of several processes one tracks for all.
        load: imports a module by its name.

    Raises:
        UserError: its package is not installed.
    """
    if name == "off" or not is_main:
        return Off()
    try:
        if name == "wandb":
            return WeightsAndBiases(load("wandb"), folder)
        return TensorBoard(load("torch.utils.tensorboard"), folder)
    except ImportError as error:
        raise UserError(
            f"{name} is not installed; install it with pip install 'nanokata[{name}]', or leave --track out."
        ) from error
