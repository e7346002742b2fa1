"""What the pages say exists: links and anchors, command lines, settings, variables, values of the chart."""

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import pages, tools
from worker.__main__ import _parser
from worker.settings import _NOT_SETTINGS, PREFIX, Settings, load_settings, shown

CHART = tools.ROOT / "helm" / "faceline"
PAGES = sorted(
    [tools.ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [*tools.ROOT.glob("docs/**/*.md"), *tools.ROOT.glob("helm/**/README.md"), *tools.ROOT.glob("benchmarks/*.md")]
)
_FENCE = re.compile(r"^(?P<mark>```+)(?P<kind>[a-z]*)\n(?P<text>.*?)^(?P=mark)$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?:(?: {4}| {8}).*\n)+", re.MULTILINE)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_VARIABLE = re.compile(rf"\b{PREFIX}[A-Z0-9_]+\b")
_COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_0-9]+=\S+ |sudo |\.venv/bin/|kubectl (?:\S+ )*?-- )*faceline (?P<rest>.+)$")
_NO_COMMANDS = re.compile(r"^(COMMAND|…|--help|--version)")


@dataclass(frozen=True)
class Page:
    """One page, taken apart."""

    path: Path

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text("utf-8")

    @property
    def prose(self) -> str:
        """Without blocks of code."""
        return _INDENTED.sub("", _FENCE.sub("", self.text))

    def code(self) -> Iterator[tuple[str, str]]:
        """Kind and text of every block; indented ones have no kind."""
        yield from ((found["kind"], found["text"]) for found in _FENCE.finditer(self.text))
        yield from (("", found[0]) for found in _INDENTED.finditer(_FENCE.sub("", self.text)))

    def anchors(self) -> set[str]:
        """Ids of its headings, as GitHub makes them."""
        seen: dict[str, int] = {}
        made = set()
        for line in _FENCE.sub("", self.text).splitlines():
            if re.match(r"#{1,6} ", line):
                title = re.sub(r"\]\([^)]*\)", "]", line.lstrip("# ").strip().lower())
                anchor = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
                made.add(anchor + (f"-{seen[anchor]}" if anchor in seen else ""))
                seen[anchor] = seen.get(anchor, 0) + 1
        return made

    def commands(self) -> Iterator[list[str]]:
        """Arguments of every ``faceline …`` in its blocks of code, with lines that go on joined."""
        for kind, text in self.code():
            if kind not in ("", "sh", "bash", "console"):
                continue
            for line in re.sub(r"\\\n\s*", " ", text).splitlines():
                for part in re.split(r"[|;]|&&", line):
                    found = _COMMAND.match(part.strip())
                    if found and not _NO_COMMANDS.match(found["rest"]):
                        yield _arguments(found["rest"])


def _arguments(text: str) -> list[str]:
    """As a shell hands them over: without comments, redirections and optional brackets."""
    words = shlex.split(text, comments=True)
    for number, word in enumerate(words):
        if re.fullmatch(r"[0-9]?[<>]+.*", word):
            return words[:number]
    return words


def names(paths: list[Path]) -> list[str]:
    """For the names of tests."""
    return [str(path.relative_to(tools.ROOT)) for path in paths]


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link is a file or folder of the repository, every anchor a heading of its page."""
    page, broken = Page(path), []
    for found in _LINK.finditer(page.prose):
        target, _, anchor = found["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        goal = path if not target else (path.parent / target).resolve()
        if not goal.exists() or (anchor and goal.suffix == ".md" and anchor not in Page(goal).anchors()):
            broken.append(found["target"])
    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_commands_parse(path: Path) -> None:
    """Every command line is one of this version's: its command, its options, the kinds of its values."""
    wrong = []
    for words in Page(path).commands():
        try:
            _parser(words).parse_args(words)
        except (SystemExit, argparse.ArgumentError):
            wrong.append(" ".join(words))
    assert wrong == []


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_variables_are_settings(path: Path) -> None:
    """Every variable that begins with FACELINE_ is a group, or a setting of one."""
    known = {f"{PREFIX}{g}".upper() for g in groups()} | {f"{PREFIX}{s.replace('.', '__')}".upper() for s in settings()}
    known |= _NOT_SETTINGS | {PREFIX, "FACELINE_GROUP__NAME"}
    found = {name.rstrip("_") if name.endswith("__") else name for name in _VARIABLE.findall(Page(path).text)}
    assert found - known == set()


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_settings_exist(path: Path) -> None:
    """Whatever is written like a setting (``group.name``) is one, or a value of the chart, or a file."""
    wrong = [name for name in dotted(Page(path)) if not is_known(name)]
    assert wrong == []


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_values_exist(path: Path) -> None:
    """What is set with ``--set``, and what stands in blocks marked as values, the chart knows."""
    wanted = set(values_in(Page(path)))
    if not wanted:
        return
    assert {name for name in wanted if not chart_has(name)} == set()


def test_every_deployment_page_is_read() -> None:
    """The walk finds the pages and what is in them; a renamed folder would pass unseen."""
    found = {path.name for path in PAGES}
    assert {"README.md", "deploy.md", "sizing.md", "security.md", "operations.md", "privacy.md"} <= found
    deploy, operations = (Page(tools.ROOT / "docs" / f"{name}.md") for name in ("deploy", "operations"))
    assert {"config.kafka.bootstrap_servers", "autoscaling.keda.lagThreshold"} <= set(values_in(deploy))
    assert ["gallery", "export", "-"] in list(operations.commands())
    assert {words[0] for path in PAGES for words in Page(path).commands()} >= {"run", "enroll", "gallery", "topics"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[x](missing.md)", test_links_lead_somewhere),
        ("[x](#nowhere)", test_links_lead_somewhere),
        ("text\n\n    faceline enrol ann\n", test_commands_parse),
        ("```sh\nkubectl exec deploy/faceline -- faceline events --forever\n```\n", test_commands_parse),
        ("`FACELINE_KAFKA__SERVERS`", test_variables_are_settings),
        ("`kafka.servers`", test_settings_exist),
        ("`config.kafka.servers`", test_settings_exist),
        ("```yaml\n# values\nreplica: 3\n```\n", test_values_exist),
        ("text\n\n    helm upgrade faceline helm/faceline --set replica=3\n", test_values_exist),
    ],
)
def test_each_can_fail(tmp_path: Path, text: str, says: Any) -> None:
    """A page with a fault fails the test that is for it."""
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError):
        says(page)


@pytest.mark.parametrize("name", pages.PAGES)
def test_tables_follow_what_was_measured(name: str) -> None:
    """Made anew from benchmarks/*.json and the code, the page is the same; 'python -m tests.deploy.pages' writes it."""
    page = (pages.DOCS / name).read_text()
    assert "<!-- made:" in page and pages.rewritten(page) == page
    assert pages.rewritten(re.sub(r"\d", "7", page)) != re.sub(r"\d", "7", page)


def test_examples_of_values_are_valid(tmp_path: Path, helm: Path) -> None:
    """The chart's strict schema takes every block of values, beside the one value that must be given."""
    blocks = [text for path in PAGES for kind, text in Page(path).code() if is_values(kind, text)]
    assert len(blocks) >= 3
    for number, text in enumerate(blocks):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        rendered = tools.run(
            helm, "template", "faceline", str(CHART), "--set", "config.kafka.bootstrap_servers=kafka:9092",
            "--set", "topics.partitions=12", "--api-versions", "keda.sh/v1alpha1", "--values", str(file),
        )  # fmt: skip
        assert rendered.returncode == 0, rendered.stderr


@cache
def groups() -> frozenset[str]:
    """Of the settings."""
    return frozenset(Settings.model_fields)


@cache
def settings() -> frozenset[str]:
    """Every setting, as ``group.name``."""
    return frozenset(f"{group}.{name}" for group, names_ in shown(load_settings()).items() for name in names_)


@cache
def values() -> dict[str, Any]:
    """Of the chart, as values.yaml has them."""
    read: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return read


def dotted(page: Page) -> Iterator[str]:
    """What stands in the page's text like a setting, which has two parts, or like a value of the chart."""
    for span in _SPAN.findall(page.prose):
        word = re.split(r"[ :=]", span)[0]
        if not re.fullmatch(r"[a-z][A-Za-z_]*(\.[A-Za-z_][A-Za-z0-9_]*)+", word) or word in _OTHERS:
            continue
        first, *rest = word.split(".")
        if first in values() or (first in groups() and len(rest) == 1):
            yield word


def is_known(name: str) -> bool:
    """A setting, a setting as a value, a value, or a file's or a topic's name."""
    if name in settings() or name in topics() or name.endswith((".md", ".yaml", ".json", ".py")):
        return True
    return chart_has(name) or name.split(".")[0] in _PACKAGES


@cache
def topics() -> frozenset[str]:
    """Their names."""
    return frozenset(load_settings().topics.model_dump().values())


_OTHERS = {"service.name", "service.namespace", "models.embedder"}  # OpenTelemetry's; an event's
_PACKAGES = {"tests", "worker", "benchmarks"}  # modules, which are written alike


def chart_has(path: str) -> bool:
    """Whether the chart knows this value: of ``config`` the worker's settings, below a map any name."""
    first, _, rest = path.partition(".")
    if first == "config":
        return rest in settings() or rest in groups()
    at: Any = values()
    for part in path.split("."):
        if at == {}:
            return True  # a map: its names are the user's
        if not isinstance(at, dict) or part not in at:
            return False
        at = at[part]
    return True


def is_values(kind: str, text: str) -> bool:
    """A block of YAML that says that it is values of the chart."""
    return kind == "yaml" and text.startswith("# values\n")


def values_in(page: Page) -> Iterator[str]:
    """Paths of the chart's values that the page sets."""
    for kind, text in page.code():
        if is_values(kind, text):
            yield from _paths(yaml.safe_load(text))
        for found in re.finditer(r"--set(?:-string)? ([A-Za-z_.]+)=", text):
            yield found[1]


def _paths(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and values_at(path) != {}:
            yield from _paths(value, f"{path}.")
        else:
            yield path


def values_at(path: str) -> Any:
    """What the chart has there; None where nothing."""
    at: Any = values()
    for part in path.split("."):
        at = at.get(part) if isinstance(at, dict) else None
    return at
