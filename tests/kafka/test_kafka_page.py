"""docs/kafka.md says what the code does."""

import re
import shlex

import pytest

from tests.kafka.pages import PAGE, blocks, rewritten, written
from worker.settings import Settings, load_settings
from worker.transport.rights import ROLES, rights


@pytest.mark.parametrize("name", blocks())
def test_block_is_the_codes(name: str) -> None:
    """No drift in tables and commands."""
    assert written(PAGE.read_text()).get(name) == blocks()[name], "run 'python -m tests.kafka.pages'"


def test_drift_would_be_seen() -> None:
    """A block that differs is made anew; a page that is right stays as it is."""
    page = PAGE.read_text()
    assert rewritten(page.replace("--operation Write", "--operation All")) == page != page.replace("Write", "All")


@pytest.mark.parametrize("role", ROLES)
def test_commands_grant_the_table(role: str) -> None:
    """Read back as the shell reads them, the commands grant exactly the rights that the tests proved."""
    granted = set()
    for line in written(PAGE.read_text())[f"rights-{role}"].splitlines()[1:-1]:
        words = shlex.split(line)
        operations = {words[i + 1] for i, word in enumerate(words) if word == "--operation"}
        kind = next(word for word in words if word in ("--topic", "--group", "--transactional-id"))
        granted.add((kind[2:], words[words.index(kind) + 1], frozenset(operations), "prefixed" in words))
    wanted = {
        (right.resource, right.name, frozenset(o.title().replace("_", "") for o in right.operations), right.prefixed)
        for right in rights(role, Settings())
    }
    assert granted == wanted


def test_examples_of_settings_are_settings(tmp_path) -> None:
    """Every YAML block of the page is read without complaint."""
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) >= 3
    for number, example in enumerate(examples):
        path = tmp_path / f"{number}.yaml"
        path.write_text(example)
        assert load_settings(path, environ={}).kafka.bootstrap_servers
