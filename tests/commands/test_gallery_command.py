"""``faceline gallery``: what people read, and exit codes."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.gallery.people import person
from worker.gallery.topic import TopicGallery
from worker.settings import Settings
from worker.transport import topics

FACELINE = [sys.executable, "-m", "worker"]


@pytest.fixture
def settings(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An application with topics and one person; commands find it in the environment."""
    topics.create(kafka, partitions=1)
    gallery = TopicGallery(kafka)
    gallery.put(person("ann"))
    gallery.close()
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", kafka.kafka.bootstrap_servers)
    monkeypatch.setenv("FACELINE_SERVICE__APPLICATION_ID", kafka.service.application_id)
    monkeypatch.setenv("FACELINE_TOPICS__FRAMES", kafka.topics.frames)
    return kafka


def test_export_and_import(faceline: Run, settings: Settings, tmp_path: Path) -> None:
    """Both ways, told in one line each; plain templates are warned of; the old file asks for a word."""
    path = tmp_path / "backup.jsonl"
    done = faceline("gallery", "export", path)
    assert (done.code, done.out) == (
        0, f"{path}: 1 record of people and 0 deletions of topic {settings.topics.gallery} up to offset 1\n"
    )  # fmt: skip
    assert "the templates of 1 are not sealed" in done.err
    assert faceline("gallery", "export", path).code == 2
    assert faceline("forget", "ann").code == 0
    done = faceline("gallery", "import", path)
    assert (done.code, done.out) == (
        0, f"topic {settings.topics.gallery}: 0 records written, 0 deleted, 0 left as they are; "
           "1 forgotten since, and not brought back\n"
    )  # fmt: skip
    assert faceline("gallery", "import", path, "--json", "--dry-run").json["forgotten"] == ["ann"]
    head, rest = path.read_text().split("\n", 1)
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat(timespec="seconds")
    path.write_text(json.dumps({**json.loads(head), "time": old}) + "\n" + rest)
    refused = faceline("gallery", "import", path)
    assert refused.code == 2 and "is 40 days old, and receipts of erasures are kept for 30" in refused.err
    assert faceline("gallery", "import", path, "--accept-old").code == 0


def test_pipes(settings: Settings, tmp_path: Path) -> None:
    """Out of a pod and into another: the backup alone on standard output, words on standard error."""
    taken = subprocess.run([*FACELINE, "gallery", "export", "-"], capture_output=True, timeout=120)
    assert taken.returncode == 0 and b"1 record of people" in taken.stderr
    back = subprocess.run(
        [*FACELINE, "gallery", "import", "-"], input=taken.stdout, capture_output=True, timeout=120, check=True
    )
    assert b"0 records written, 0 deleted, 1 left as they are" in back.stdout
    cut = subprocess.run(
        [*FACELINE, "gallery", "import", "-"], input=taken.stdout[:-9], capture_output=True, timeout=120
    )
    assert cut.returncode == 2 and b"standard input" in cut.stderr


def test_without_a_broker(faceline: Run, tmp_path: Path) -> None:
    """The folder is no topic: the command says what is missing."""
    done = faceline("gallery", "export", tmp_path / "backup.jsonl")
    assert done.code == 2 and "kafka.bootstrap_servers" in done.err
    assert faceline("gallery", "export", tmp_path / "backup.jsonl", "--dry-run").code == 2
