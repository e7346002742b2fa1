"""The Dockerfile read into stages, for tests of what it says."""

import json
from dataclasses import dataclass, field
from pathlib import Path

PATH = Path(__file__).parents[2] / "Dockerfile"


@dataclass
class Stage:
    """One FROM and its instructions, in order."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        """What stands behind every instruction of this keyword."""
        return [text for found, text in self.instructions if found == keyword]

    def one(self, keyword: str) -> str:
        """What stands behind the only instruction of this keyword."""
        (text,) = self.all(keyword)
        return text

    def words(self, keyword: str) -> list[str]:
        """The words of an instruction in exec form; in shell form it is no JSON, and that raises."""
        words = json.loads(self.one(keyword))
        assert isinstance(words, list)
        return words


def _lines(text: str) -> list[str]:
    """Instructions, each on one line, without comments."""
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join(kept).replace("\\\n", " ").splitlines()


def arguments(text: str | None = None) -> dict[str, str]:
    """Build arguments with their defaults that stand before the first stage."""
    found = {}
    for line in _lines(PATH.read_text() if text is None else text):
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            break
        name, _, value = rest.partition("=")
        found[name] = value
    return found


def stages(text: str | None = None) -> list[Stage]:
    """All stages in order."""
    found: list[Stage] = []
    for line in _lines(PATH.read_text() if text is None else text):
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base.strip(), name.strip()))
        elif found:
            found[-1].instructions.append((keyword, rest.strip()))
    return found
