"""compile: engines for others' GPUs are built here; without a GPU and without that, it says what to do."""

from pathlib import Path

import pytest

from tests.commands.conftest import Run
from worker.compiling import NETWORKS
from worker.engines.compile.flavour import open_flavour
from worker.engines.gpu import NoGpu, find_gpu
from worker.errors import ModelError

AHEAD = ("compile", "--flavour", "rtx", "--compute-capability", "8.9")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own, in force."""
    monkeypatch.setenv("FACELINE_ENGINE__CACHE_DIR", str(tmp_path / "engines"))
    return tmp_path / "engines"


@pytest.fixture
def rtx() -> None:
    """Skips where TensorRT for RTX isn't installed."""
    try:
        open_flavour("rtx")
    except ModelError as error:
        pytest.skip(f"no TensorRT for RTX: {error}")


@pytest.fixture
def no_gpu() -> None:
    """Skips where there is a GPU."""
    try:
        gpu = find_gpu(0)
    except NoGpu:
        return
    pytest.skip(f"there is a GPU here, {gpu.name}")


@pytest.mark.slow
@pytest.mark.usefixtures("rtx", "loaded")
def test_all_are_built_then_found(faceline: Run, cache: Path) -> None:
    """A row for each network with precision, size and why; the second time from the cache."""
    first = faceline(*AHEAD)
    assert first.code == 0
    assert "every GPU of compute capability 8.9" in first.err
    for name in NETWORKS:
        (row,) = [line for line in first.out.splitlines() if f"│ {name} " in line]
        assert "fp32" in row and "MB" in row and "built" in row and "none was built in fp32 yet" in row
    assert str(cache) in first.out
    second = faceline(*AHEAD, "--json").json
    assert [row["network"] for row in second] == list(NETWORKS)
    assert {row["result"] for row in second} == {"hit"}
    assert all(Path(row["path"]).stat().st_size == row["bytes"] for row in second)


@pytest.mark.slow
@pytest.mark.usefixtures("rtx", "loaded")
def test_only_and_force(faceline: Run) -> None:
    """One network, in another precision than the settings', built though it is there."""
    for reason in ("none was built in fp16 yet", "it was asked for"):
        (row,) = faceline(*AHEAD, "--only", "recognizer", "--precision", "fp16", "--force", "--json").json
        assert (row["network"], row["precision"], row["result"]) == ("recognizer", "fp16", "built")
        if reason == "it was asked for":
            assert row["reason"] == reason


@pytest.mark.usefixtures("rtx", "loaded")
def test_what_was_built_before_a_failure_is_told(faceline: Run) -> None:
    """Turing has no FP32 matrix products in TensorRT for RTX: the detector needs none and is there, the rest isn't."""
    done = faceline("compile", "--flavour", "rtx", "--compute-capability", "7.5")
    assert done.code == 1
    assert "│ detector " in done.out
    assert "│ embedder " not in done.out
    assert "FP32 GEMM is not supported" in done.err
    assert "set engine.precision to fp16" in done.err


@pytest.mark.usefixtures("rtx", "loaded")
def test_a_gpu_that_rtx_doesn_t_know(faceline: Run) -> None:
    """Those that it knows are listed."""
    done = faceline("compile", "--flavour", "rtx", "--compute-capability", "9.0")
    assert done.code == 2
    assert "7.5, 8.0, 8.6, 8.9" in done.err


@pytest.mark.usefixtures("rtx", "no_gpu")
def test_without_a_gpu_one_must_be_named(faceline: Run) -> None:
    """The way to build ahead is said."""
    done = faceline("compile", "--flavour", "rtx")
    assert done.code == 1
    assert "CUDA" in done.err
    assert "--compute-capability" in done.err


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_tensorrt_can_t(faceline: Run) -> None:
    """One line: TensorRT is missing, or the GPU is."""
    done = faceline("compile")
    assert done.code == 1
    assert done.out == ""
    assert "engine.kind to onnxruntime" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--compute-capability", "8.9"], "goes with --flavour rtx"),
        (["--flavour", "rtx", "--compute-capability", "ada"], "expected one such as 8.9"),
    ],
)
def test_wrong_arguments(faceline: Run, arguments: list[str], text: str) -> None:
    """Exit code 2 and the cure."""
    if "rtx" in arguments:
        pytest.importorskip("tensorrt_rtx")
    done = faceline("compile", *arguments)
    assert done.code == 2
    assert text in done.err


@pytest.mark.usefixtures("rtx", "loaded")
def test_a_cache_that_can_t_be(faceline: Run, cache: Path) -> None:
    """A file in the folder's place: a wrong setting, named."""
    cache.write_text("mine")
    done = faceline(*AHEAD, "--only", "recognizer")
    assert done.code == 2
    assert f"engine.cache_dir {cache} can't be" in done.err
