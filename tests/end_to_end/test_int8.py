"""Precision int8 from frames to events: the same people named, on real footage."""

from pathlib import Path

import pytest

from tests.end_to_end import webcam
from worker.assemble import Loaded, open_models
from worker.errors import ModelError
from worker.settings import EngineSettings, Settings

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def int8_loaded(default_settings: Settings) -> Loaded:
    """All models with the embedder in int8."""
    try:
        return open_models(default_settings.model_copy(update={"engine": EngineSettings(precision="int8")}))
    except ModelError as error:
        pytest.skip(str(error).replace(str(default_settings.models.dir), "the cache"))


def test_returning_people_are_confirmed_and_nobody_else(test_data: Path, int8_loaded: Loaded) -> None:
    """As in fp32: who was enrolled from one session is confirmed in all others; nobody else ever is."""
    rows = webcam.pairs(test_data / "webcam", int8_loaded)
    print("\n" + webcam.markdown(rows))
    assert (len(rows), sum(row.same for row in rows)) == (96, 14)
    assert [row for row in rows if row.same and not row.confirmed] == []
    assert [row for row in rows if row.confirmed and not row.same] == []
