"""compare: a table, JSON, an exit code that says whether engines agree."""

import pytest

from tests.commands.conftest import Run
from worker.assemble import Loaded
from worker.engines.int8 import load_int8
from worker.engines.models import EMBEDDER, manifests
from worker.errors import ModelError
from worker.settings import Settings


@pytest.fixture
def _int8(loaded: Loaded, default_settings: Settings) -> None:
    try:
        load_int8(manifests()[EMBEDDER], default_settings.models.dir, "uint8")
    except ModelError as error:
        pytest.skip(str(error).replace(str(default_settings.models.dir), "the cache"))


@pytest.mark.usefixtures("loaded")
def test_the_reference_agrees_with_itself(faceline: Run) -> None:
    """Without options: what the settings choose, against the reference."""
    done = faceline("compare")
    assert done.code == 0
    for word in ("detector", "embedder", "recognizer", "enrol", "template cosine"):
        assert word in done.out


@pytest.mark.usefixtures("_int8")
def test_int8_as_json(faceline: Run) -> None:
    """Each row with its worst case and its tolerance; the looser precision sets it, whichever side it is on."""
    done = faceline("compare", "--engine", "onnxruntime:int8", "--json")
    assert done.code == 0
    cosine = next(row for row in done.json if (row["network"], row["measure"]) == ("embedder", "cosine"))
    assert cosine["tolerance"] < cosine["worst"] < 1
    assert faceline("compare", "--against", "onnxruntime:int8", "--json").code == 0


@pytest.mark.parametrize("text", ["cpu", "onnxruntime", "onnxruntime:int4", ":fp32", "onnxruntime:fp32:"])
def test_what_cant_be_compared(faceline: Run, text: str) -> None:
    """Exit code 2, the option, and what there is."""
    done = faceline("compare", "--engine", text)
    assert done.code == 2
    assert f"--engine is '{text}': expected one of onnxruntime, tensorrt" in done.err


def test_fp16_needs_a_gpu(faceline: Run) -> None:
    """Exit code 2, with the cure."""
    done = faceline("compare", "--engine", "onnxruntime:fp16")
    assert done.code == 2
    assert "needs TensorRT" in done.err
