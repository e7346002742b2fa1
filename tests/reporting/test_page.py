"""``report.html``: complete, well-formed, and in need of nothing but itself."""

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.reporting import made
from worker.messages import IdentityEvent
from worker.playback import Played
from worker.reporting.data import PageData
from worker.reporting.files import Report, ReportOptions
from worker.reporting.page import render

VOID = {"meta", "link", "img", "br", "wbr", "hr", "input"}


class Outline(HTMLParser):
    """Fails where tags aren't balanced; collects attributes, ids and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} is given twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """The innermost element ends."""
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data


def read(path: Path) -> Outline:
    """The page, parsed to its end."""
    outline = Outline()
    outline.feed(path.read_text(encoding="utf-8"))
    outline.close()
    assert outline.open == []
    return outline


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made run's page with thumbnails."""
    out = tmp_path_factory.mktemp("page")
    made.folder_of_a_run(out, thumbnails=True)
    return out / "report.html"


def test_is_well_formed_and_its_links_lead_somewhere(page: Path) -> None:
    """Balanced tags, unique ids, and an element for every anchor."""
    outline = read(page)
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    anchors = [str(attrs["href"]) for tag, attrs in outline.tags if tag == "a"]
    assert anchors
    assert {a[1:] for a in anchors if a.startswith("#")} <= set(ids)


def test_needs_no_network(page: Path) -> None:
    """Nothing is loaded, and the page itself forbids it."""
    outline, text = read(page), page.read_text(encoding="utf-8")
    assert not re.search(r"https?://", text)
    names = ("src", "srcset", "poster", "data")
    loads = [attrs[name] for _, attrs in outline.tags for name in names if name in attrs]
    assert loads
    assert all(str(load).startswith("data:image/jpeg;base64,") for load in loads)
    assert [attrs["href"] for tag, attrs in outline.tags if tag == "link"] == ["data:,"]
    assert not re.search(r"@import|url\(", text)
    policies = (attrs["content"] for _, attrs in outline.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    policy = next(policies)
    assert str(policy).startswith("default-src 'none'")


def test_names_are_text_and_nothing_else(page: Path) -> None:
    """What comes from ids, notes and messages can't become markup."""
    outline, text = read(page), page.read_text(encoding="utf-8")
    for given in (made.NAME, made.CAMERA, made.NOTE, "JPEG has no <end> marker"):
        assert given in outline.text
        assert given not in text
        assert escape(given) in text
    assert sum(tag == "script" for tag, _ in outline.tags) == 1


def test_says_who_why_and_how_fast(page: Path) -> None:
    """The headline, the reasons in sentences, the marks of a jump, and ids to copy."""
    text = read(page).text
    for sentence in (
        "1people named", "16frames a second", "1 not newer than the camera's newest frame",
        "1 the image ends too early", "2 frames of 10 seemed to show another person",
        "The track had come to show another person", "Later frames spoke against the name; it is retracted",
        "Nobody enrolled looks enough like this person", "score 0.90 against a threshold of 0.40",
    ):  # fmt: skip
        assert sentence in text, sentence
    ids = {attrs.get("data-id") for _, attrs in read(page).tags if attrs.get("class") == "copy"}
    assert ids == {event.id for event in _events(page.parent)}


def _events(folder: Path) -> list[IdentityEvent]:
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [IdentityEvent.model_validate_json(line) for line in lines]
    return [event for event in events if event.kind != "present"]  # heartbeats that were followed by more


def test_charts_speak(page: Path) -> None:
    """Every drawing has a role and, as an image, words."""
    drawings = [attrs for tag, attrs in read(page).tags if tag == "svg"]
    assert drawings
    assert all(attrs.get("role") == "group" or attrs.get("aria-label") for attrs in drawings)


def test_no_crops_unless_asked(tmp_path: Path) -> None:
    """Without thumbnails the page holds no picture."""
    made.folder_of_a_run(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "data:image" not in text
    assert "It holds no face crop" in text


def test_empty_run() -> None:
    """Nothing came: the page says so."""
    outline = Outline()
    outline.feed(render(PageData("Nothing", (), (), {}, Played(), {})))
    assert outline.open == []
    assert "No frame was processed." in outline.text


def test_only_speed_depends_on_speed(tmp_path: Path) -> None:
    """Another duration changes the pace and nothing else."""
    for name, seconds in (("fast", 1.0), ("slow", 4.0)):
        report = made.record(Report(tmp_path / name, ReportOptions(False, False, made.FPS), "Run"))
        report.close(Played(20, seconds, made.PLAYED.outcomes))
    fast, slow = ((tmp_path / name / "report.html").read_text(encoding="utf-8") for name in ("fast", "slow"))
    changed = [a for a, b in zip(fast.splitlines(), slow.splitlines(), strict=True) if a != b]
    assert len(changed) == 1
    assert "frames a second" in changed[0]
