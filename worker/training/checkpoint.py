"""What a training run is at a step, kept so that it can go on as if nothing had happened, and explain itself.

A folder holds ``checkpoint.pt``, all that decides the steps to come, and ``checkpoint.json``, the same for people.
"""

import json
import platform
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from worker import __version__
from worker.errors import FacelineError, InvalidSettings
from worker.training.model import GallerySide

FORMAT = 1
STATE, STORY = "checkpoint.pt", "checkpoint.json"


M = TypeVar("M", bound=GallerySide)


class Interrupted(FacelineError):
    """Training was asked to stop, and what is needed to go on is written."""

    exit_code = 130


@dataclass
class Run(Generic[M]):
    """All that changes while a network is trained."""

    model: M
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator
    step: int = 0
    average: dict[str, Tensor] = field(default_factory=dict)  # of the weights, exponential
    best: dict[str, Tensor] = field(default_factory=dict)  # the average at the best look; empty before the first
    curve: list[dict[str, float]] = field(default_factory=list)  # what each look at the development people said

    def __post_init__(self) -> None:
        self.average = _copy(self.model.state_dict())

    def advance(self, decay: float) -> None:
        """A step was taken: move the average, slower and slower until ``decay`` is reached."""
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - min(decay, (self.step + 1) / (self.step + 10)))
        self.step += 1

    def looked(self, loss: float, score: float, **measures: float) -> None:
        """A look at the development people: remember it, and the average if there was no better one."""
        if score < min((look["score"] for look in self.curve), default=float("inf")):
            self.best = _copy(self.average)
        self.curve.append({"step": self.step, "loss": loss, "score": score, **measures})

    def best_step(self) -> int:
        """The step of the best look; the last step where nobody looked."""
        return int(min(self.curve, key=lambda look: look["score"])["step"]) if self.curve else self.step

    def stalled(self, patience: int) -> bool:
        """Whether the last ``patience`` looks were all no better than an earlier one; never with 0."""
        later = sum(look["step"] > self.best_step() for look in self.curve)
        return 0 < patience <= later

    def averaged(self) -> M:
        """The averaged network as it is now, on the CPU, ready to use."""
        return self._with(self.average)

    def result(self) -> M:
        """The best network seen; the last where nobody looked."""
        return self._with(self.best or self.average)

    def state(self) -> dict[str, Any]:
        """Everything as tensors, numbers and text."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average,
            "best": self.best,
            "curve": self.curve,
            "numpy": json.dumps(self.rng.bit_generator.state),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be what ``state`` says, random numbers included."""
        self.step, self.curve = state["step"], state["curve"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.average = {name: value.to(self.average[name].device) for name, value in state["average"].items()}
        self.best = state["best"]
        self.rng.bit_generator.state = json.loads(state["numpy"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda"])

    def _with(self, weights: dict[str, Tensor]) -> M:
        model = deepcopy(self.model).cpu()
        model.load_state_dict(weights)
        return model.eval()


@dataclass(frozen=True)
class Checkpoints:
    """Where and when a run is written down. ``recipe`` and ``data`` say what it is a run of."""

    folder: Path
    recipe: dict[str, Any]
    data: dict[str, Any]  # with "digest" and "embedder_sha256"
    every: int = 50  # steps
    stop: Callable[[], bool] = lambda: False  # asked after every step

    def after_step(self, run: Run[Any]) -> None:
        """Write where it is time to. Raises ``Interrupted``, once the run is written, where a stop is asked for."""
        stopping = self.stop()
        if stopping or run.step % self.every == 0:
            self.write(run)
        if stopping:
            raise Interrupted(f"stopped after step {run.step}, kept in {self.folder}: go on with --resume")

    def write(self, run: Run[Any], *, finished: bool = False) -> None:
        """Replace what is there, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        story = {
            "format": FORMAT,
            "step": run.step,
            "finished": finished,
            "best_step": run.best_step(),
            "recipe": self.recipe,
            "model": run.model.config,
            "data": self.data,
            "versions": versions(),
            "development": run.curve,
        }
        partial = self.folder / f"{STATE}.part"
        torch.save({"story": json.dumps(story), **run.state()}, partial)
        partial.replace(self.folder / STATE)
        partial = self.folder / f"{STORY}.part"
        partial.write_text(json.dumps(story, indent=2) + "\n")
        partial.replace(self.folder / STORY)

    def resume(self, run: Run[Any]) -> None:
        """Take up the run that is written here. Raises ``InvalidSettings`` where it is another's, or unreadable."""
        path = self.folder / STATE
        if not path.exists():
            raise InvalidSettings(f"--resume: no {STATE} in {self.folder}; start without it")
        state, story = _load(path)
        self._compare(story, run)
        run.restore(state)

    def unfinished(self) -> int:
        """The step at which a run stands here that has given no recognizer; 0 where there is none."""
        try:
            story = json.loads((self.folder / STORY).read_text())
            return 0 if story["finished"] and self._exported(story) else int(story["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _exported(self, story: dict[str, Any]) -> bool:
        """Whether the recognizer in the folder is of this recipe and data: an earlier run's may still be there."""
        path = self.folder / "recognizer.json"
        if not path.exists():
            return False
        manifest = json.loads(path.read_text())
        return all(manifest[part] == story[part] for part in ("recipe", "data"))

    def _compare(self, story: dict[str, Any], run: Run[Any]) -> None:
        data, mine = story["data"], self.data
        if data["embedder_sha256"] != mine["embedder_sha256"]:
            raise InvalidSettings(
                f"the checkpoint in {self.folder} is of embedder {data['embedder_sha256'][:12]}, embeddings here are "
                f"of {mine['embedder_sha256'][:12]}: train anew in another folder"
            )
        if data["digest"] != mine["digest"]:
            raise InvalidSettings(
                f"the checkpoint in {self.folder} was trained on other people or images ({data['digest'][:12]}, here "
                f"{mine['digest'][:12]}): give the same --data and --split-seed, or train anew in another folder"
            )
        here = {**json.loads(json.dumps(self.recipe)), **run.model.config}
        there = {**story["recipe"], **story["model"]}
        different = [
            f"{name} {there.get(name)} there, {here.get(name)} here"
            for name in sorted({*here, *there})
            if here.get(name) != there.get(name)
        ]
        if different:
            raise InvalidSettings(
                f"the checkpoint in {self.folder} follows another recipe ({'; '.join(different)}): give the same "
                "arguments as at the start, or train anew in another folder"
            )


def versions() -> dict[str, str]:
    """What computed: results are the same to the bit only with the same."""
    return {
        "faceline": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # executes nothing that a file may hold
        story = json.loads(state["story"])
        known = story["format"]
    except (OSError, RuntimeError, UnpicklingError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InvalidSettings(f"{path} is no checkpoint, or damaged ({type(error).__name__}): train anew") from error
    if known != FORMAT:
        raise InvalidSettings(f"{path} has format {known}, this version reads {FORMAT}: train anew")
    return state, story


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}
