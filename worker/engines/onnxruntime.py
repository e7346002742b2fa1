"""ONNX Runtime on the CPU: the reference engine, and the default where there is no GPU."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import onnxruntime as ort
from numpy.typing import NDArray

from worker.engines.engine import TensorSpec, check_feeds

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}


class OnnxRuntimeEngine:
    """One session, one thread: more workers beat more threads on shared cores."""

    def __init__(self, model: bytes, *, num_threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if num_threads > 1:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: ort.InferenceSession | None = ort.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self._outputs = tuple(_spec(node) for node in self._session.get_outputs())
        self._names = [spec.name for spec in self._outputs]

    @property
    def name(self) -> str:
        """Runtime and device."""
        return "onnxruntime-cpu"

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Declared inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Declared outputs."""
        return self._outputs

    def run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once; see ``Engine.run``."""
        if self._session is None:
            raise ValueError("this engine is closed; load the model again")
        check_feeds(self._inputs, feeds)
        return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))

    def close(self) -> None:
        """Drop the session."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _spec(node: ort.NodeArg) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else str(size) for size in node.shape)
    return TensorSpec(node.name, _DTYPES.get(node.type, node.type), shape)
