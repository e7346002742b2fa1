"""Where the network computes: on the CPU, or on a GPU behind the same calls."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from worker.errors import InvalidSettings


def choose_device(wanted: str) -> torch.device:
    """``auto`` takes a GPU where torch sees one. Raises ``InvalidSettings`` where ``cuda`` is wanted and not there."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise InvalidSettings("--device is cuda, and torch sees no GPU here: use --device auto or cpu")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


class Remote:
    """A network on a device, called with tensors of the CPU and answering with such; gradients flow through.

    Tracks are composed, and losses taken, on the CPU; only the network's own work moves. So a step is written once.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._model = model.to(device)
        self._device = device

    def __call__(self, *arguments: Any) -> Any:
        """The network's forward pass."""
        return self._there(self._model)(*arguments)

    def __getattr__(self, name: str) -> Any:
        """Its parameters as tensors of the CPU, its methods as calls."""
        value = getattr(self._model, name)
        if isinstance(value, Tensor):
            return value.cpu()
        return self._there(value) if callable(value) else value

    def _there(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            return _moved(function(*_moved(arguments, self._device)), torch.device("cpu"))

        return call


def _moved(value: Any, device: torch.device) -> Any:
    """Tensors on the device, in whatever lists, tuples and named tuples they came."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        parts = [_moved(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value
