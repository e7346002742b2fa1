"""Which engine computes, by what the machine has: decided once, with the reason; and that nothing falls back later."""

import logging
import subprocess
import sys
from collections.abc import Callable

import pytest

from worker import accelerate
from worker.assemble import choose_engine, open_models
from worker.engines.choice import Choice, EngineKind, choose
from worker.engines.gpu import NoGpu
from worker.errors import InvalidSettings, ModelError
from worker.settings import Settings


def there(text: str) -> Callable[[], str]:
    """Something that is there."""
    return lambda: text


def missing(text: str, kind: type[Exception] = ModelError) -> Callable[[], str]:
    """Something that isn't."""

    def find() -> str:
        raise kind(text)

    return find


def forbidden() -> str:
    """Something that must not be looked for."""
    pytest.fail("it was looked for")


GPU, LIBRARY = there("NVIDIA L4"), there("TensorRT 11.4")
NO_GPU, NO_LIBRARY = missing("no NVIDIA driver: install it", NoGpu), missing("TensorRT isn't installed: install 'gpu'")


@pytest.mark.parametrize(
    ("kind", "gpu", "library", "want"),
    [
        ("onnxruntime", forbidden, forbidden, Choice("onnxruntime", "engine.kind says so")),
        ("auto", GPU, LIBRARY, Choice("tensorrt", "NVIDIA L4 and TensorRT 11.4 are there")),
        ("auto", NO_GPU, forbidden, Choice("onnxruntime", "no NVIDIA driver: install it", no_gpu=True)),
        (
            "auto", GPU, NO_LIBRARY,
            Choice("onnxruntime", "NVIDIA L4 is there, but TensorRT isn't installed: install 'gpu'", idle_gpu=True),
        ),
        ("tensorrt", GPU, LIBRARY, Choice("tensorrt", "engine.kind says so; NVIDIA L4")),
    ],
)  # fmt: skip
def test_choice(kind: EngineKind, gpu: Callable[[], str], library: Callable[[], str], want: Choice) -> None:
    """What is asked for, what there is, what computes and why."""
    assert choose(kind, gpu, library) == want


@pytest.mark.parametrize(
    ("gpu", "library", "why"), [(NO_GPU, LIBRARY, "no NVIDIA"), (GPU, NO_LIBRARY, "TensorRT isn't")]
)
def test_asked_for_by_name_it_must_be_there(gpu: Callable[[], str], library: Callable[[], str], why: str) -> None:
    """Never something else instead; the message keeps the cure."""
    with pytest.raises(ModelError, match=rf"engine.kind is tensorrt, and it can't be used: {why}.*: install"):
        choose("tensorrt", gpu, library)


def test_a_wrong_setting_is_no_missing_gpu() -> None:
    """``engine.device`` beyond the last GPU isn't a reason to take the CPU."""
    with pytest.raises(InvalidSettings, match="engine.device"):
        choose("auto", missing("engine.device is 3", InvalidSettings), LIBRARY)


@pytest.mark.parametrize("kind", ["auto", "tensorrt"])
def test_a_broken_gpu_is_no_missing_one(kind: EngineKind) -> None:
    """``auto`` takes the CPU where there is no GPU, not where there is one that fails."""
    with pytest.raises(ModelError, match=r"cudaSetDevice failed .* set engine.kind to onnxruntime"):
        choose(kind, missing("cudaSetDevice failed (CUDA error 46): set engine.kind to onnxruntime"), LIBRARY)


def with_kind(kind: EngineKind, settings: Settings) -> Settings:
    """The settings with it."""
    return settings.model_copy(update={"engine": settings.engine.model_copy(update={"kind": kind})})


def test_on_this_machine_without_a_gpu(default_settings: Settings) -> None:
    """Nothing replaced: the CPU by itself, with what CUDA said; TensorRT by name is refused."""
    choice = choose_engine(default_settings, "auto")
    assert choice.kind == "onnxruntime" and not choice.idle_gpu
    with pytest.raises(ModelError, match="engine.kind is tensorrt, and it can't be used: .*engine.kind to onnxruntime"):
        open_models(with_kind("tensorrt", default_settings))


@pytest.mark.usefixtures("loaded")
def test_it_is_told_in_one_line(default_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Engine, precision, reason."""
    with caplog.at_level(logging.INFO):
        opened = open_models(with_kind("onnxruntime", default_settings))
    (line,) = [record.message for record in caplog.records if record.message.startswith("engine ")]
    assert line == "engine onnxruntime, precision fp32: engine.kind says so"
    assert {one.engine for one in opened.computing.values()} == {"onnxruntime-cpu"}
    assert set(opened.computing) == {*opened.context.models.model_dump(), "enrol"}


@pytest.mark.usefixtures("loaded")
def test_what_was_chosen_does_not_fall_back(default_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is there and chosen; its engines then can't be opened: the worker doesn't start on the CPU instead."""
    monkeypatch.setattr(accelerate, "described_gpu", lambda settings: "NVIDIA L4")
    monkeypatch.setattr(accelerate, "described_library", lambda: "TensorRT 11.4")
    monkeypatch.setattr(accelerate, "open_accelerated", lambda *_: missing("the engine can't be loaded")())
    with pytest.raises(ModelError, match="the engine can't be loaded"):
        open_models(default_settings)


def test_serving_on_a_cpu_imports_no_cuda() -> None:
    """The libraries of a GPU are imported where it was chosen, not before."""
    script = (
        "import sys\nimport worker.serving, worker.assemble, worker.engines.batched\n"
        "from worker.settings import Settings\n"
        "worker.assemble.choose_engine(Settings(), 'onnxruntime')\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('cuda', 'tensorrt', 'tensorrt_rtx')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
