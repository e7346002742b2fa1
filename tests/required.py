"""What a run can't do without: named in ``FACELINE_TEST_REQUIRE``, its absence fails what it would else skip."""

import os
from typing import NoReturn

import pytest

REQUIRE = "FACELINE_TEST_REQUIRE"
TOOLS = ("kafka", "helm", "prometheus", "image")


def required() -> frozenset[str]:
    """Names of ``TOOLS`` from the environment, by commas. Raises ``pytest.UsageError`` for others."""
    named = frozenset(filter(None, os.environ.get(REQUIRE, "").split(",")))
    if unknown := sorted(named - set(TOOLS)):
        raise pytest.UsageError(f"{REQUIRE} names {', '.join(unknown)}: expected some of {','.join(TOOLS)}")
    return named


def missing(tool: str, reason: str) -> NoReturn:
    """Skip with the reason, or fail with it where the run requires the tool."""
    assert tool in TOOLS
    if tool in required():
        pytest.fail(f"{reason} ({REQUIRE} names {tool})", pytrace=False)
    pytest.skip(reason)
