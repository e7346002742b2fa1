"""Tools of the tests of deployment; what can't be had is skipped with the reason."""

from pathlib import Path

import pytest

from tests.deploy import tools
from tests.required import missing


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm, fetched once."""
    try:
        return tools.helm()
    except tools.NoTool as reason:
        missing("helm", f"no Helm: {reason}")


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """A Prometheus server to start."""
    try:
        return tools.prometheus()
    except tools.NoTool as reason:
        missing("prometheus", str(reason))
