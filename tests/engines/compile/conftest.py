"""TensorRT for RTX, which builds engines without a GPU."""

import pytest

from worker.engines.compile.flavour import Flavour, open_flavour
from worker.errors import ModelError


@pytest.fixture(scope="session")
def rtx() -> Flavour:
    """Imported once."""
    try:
        return open_flavour("rtx")
    except ModelError as error:
        pytest.skip(f"no TensorRT for RTX: {error}")
