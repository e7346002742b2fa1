"""What every engine promises, whatever it runs on."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from numpy.typing import NDArray

Precision = Literal["fp32", "fp16", "int8"]
"""How exactly networks are computed, the most exact first."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, element type and shape of one input or output; a free dimension is a string."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Engine(Protocol):
    """A loaded model. One thread at a time; ``run`` blocks until the outputs are on the host.

    Outputs belong to the caller. Rows are independent: row *i* of an output depends on row *i* of
    the inputs alone, so a caller may batch whatever it has.
    """

    @property
    def name(self) -> str:
        """What runs it, for logs and events, for example ``onnxruntime-cpu``."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Declared inputs, in the model's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Declared outputs, in the model's order."""
        ...

    def run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """All outputs by name. Raises ``ValueError`` where a feed is missing, unknown or of another shape or type."""
        ...

    def close(self) -> None:
        """Give the device's memory back. Calling it twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_feeds(inputs: tuple[TensorSpec, ...], feeds: Mapping[str, NDArray]) -> None:
    """Raise ``ValueError`` that names the first feed which doesn't fit the declared inputs."""
    names = {spec.name for spec in inputs}
    if unknown := set(feeds) - names:
        raise ValueError(f"unknown input {min(unknown)!r}; this model takes {sorted(names)}")
    for spec in inputs:
        if spec.name not in feeds:
            raise ValueError(f"input {spec.name!r} is missing; it takes {spec.dtype} {list(spec.shape)}")
        array = feeds[spec.name]
        fits = len(array.shape) == len(spec.shape) and all(
            isinstance(want, str) or want == have for want, have in zip(spec.shape, array.shape, strict=True)
        )
        if not fits or array.dtype.name != spec.dtype:
            have = f"{array.dtype.name} {list(array.shape)}"
            raise ValueError(f"input {spec.name!r} takes {spec.dtype} {list(spec.shape)}, not {have}")
