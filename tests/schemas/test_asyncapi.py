"""schemas/asyncapi.yaml before the official parser of AsyncAPI, which also refuses what is none."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.commands.schemas import ASYNCAPI
from worker.contracts.catalogue import CONTRACTS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCHEMAS = ROOT / "schemas"
PINNED = ROOT / "requirements" / "asyncapi"
INSTALLED = ROOT / ".tools" / "asyncapi"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parse() -> Callable[..., list[dict[str, Any]]]:
    """Runs the parser on files: diagnostics and resolved messages of each. Installed once, from the lock."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node isn't installed: install Node.js 20 or newer with npm")
    if not _is_installed():
        _install()

    def run(*paths: Path) -> list[dict[str, Any]]:
        command = ["node", str(HERE / "validate.cjs"), *map(str, paths)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env={"NODE_PATH": str(INSTALLED / "node_modules"),
                                                                      "PATH": _path()},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def _is_installed() -> bool:
    done = INSTALLED / "node_modules" / ".package-lock.json"
    lock = INSTALLED / "package-lock.json"
    return done.exists() and lock.read_text() == (PINNED / "package-lock.json").read_text()


def _install() -> None:
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PINNED / name, INSTALLED / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not install the AsyncAPI parser within 3 minutes: check npm's registry")
    if done.returncode:
        pytest.skip(f"npm could not install the AsyncAPI parser: {' '.join(done.stderr.split())[:200]}")


def _path() -> str:
    node = shutil.which("node")
    assert node is not None
    return str(Path(node).parent)


def _wrong_version(document: dict) -> None:
    document["asyncapi"] = "4.0.0"


def _no_channel(document: dict) -> None:
    document["operations"]["send_events"]["channel"]["$ref"] = "#/channels/nowhere"


def _missing_schema(document: dict) -> None:
    document["components"]["messages"]["identity-event.v1"]["payload"]["$ref"] = "./nowhere.json"


def _no_schema(document: dict) -> None:
    document["components"]["messages"]["track-state.v1"]["payload"]["type"] = "image"


def _misspelt_binding(document: dict) -> None:
    document["channels"]["events"]["bindings"]["kafka"]["topics"] = "identity.events"


def _unknown_policy(document: dict) -> None:
    document["channels"]["state"]["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] = ["shrink"]


def _no_title(document: dict) -> None:
    del document["info"]["title"]


SPOILED = (
    _wrong_version, _no_channel, _missing_schema, _no_schema, _misspelt_binding, _unknown_policy, _no_title,
)  # fmt: skip


def test_the_parser_takes_ours_and_refuses_spoiled_ones(
    parse: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    """No error and no warning in ours, with every message's fields resolved; an error in each that is spoiled."""
    shutil.copytree(SCHEMAS, tmp_path, dirs_exist_ok=True)
    paths = []
    for spoil in SPOILED:
        document = yaml.safe_load((SCHEMAS / ASYNCAPI).read_text())
        spoil(document)
        paths.append(tmp_path / f"{spoil.__name__}.yaml")
        paths[-1].write_text(yaml.safe_dump(document))
    ours, *spoiled = parse(SCHEMAS / ASYNCAPI, *paths)

    assert [d for d in ours["diagnostics"] if d["code"] != "asyncapi-latest-version"] == []
    for contract in CONTRACTS:
        if contract.role is None:
            continue
        fields = ours["messages"][contract.name]
        assert set(fields["payload"]) == set(contract.model.model_fields if contract.model else ())
        names = contract.headers.model_fields.items() if contract.headers else ()
        assert set(fields["headers"]) == {field.alias or name for name, field in names}
    for spoil, result in zip(SPOILED, spoiled, strict=True):
        errors = [d for d in result["diagnostics"] if d["severity"] == "error"]
        assert errors, f"{spoil.__name__} passed"
