"""What a network was trained on is written down without names, and an evaluation can hold people against it."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.training.made import made_faces
from worker.errors import InvalidSettings
from worker.training.provenance import describe_data, parts_of, write_split
from worker.training.sequences import split_people

FACES = made_faces(60, 2, frames=4)
PARTS = split_people(FACES.names)


def test_everybody_s_part_is_found_by_name(tmp_path: Path) -> None:
    """Each name in the part that it was in; who wasn't there is in none."""
    found = parts_of(write_split(tmp_path, FACES, PARTS, 0), [*FACES.names, "a stranger"])
    expected = {FACES.names[number]: part for part, numbers in PARTS.items() for number in numbers}
    assert found == expected
    assert len(found) == 60


def test_no_name_is_written(tmp_path: Path) -> None:
    """Not one, and digests come sorted: their order doesn't tell whose they are."""
    text = write_split(tmp_path, FACES, PARTS, 3).read_text()
    assert not any(f'"{name}"' in text for name in FACES.names)
    assert "person 1" not in text
    digests = [line.strip(' ",') for line in text.splitlines() if line.startswith('   "')]
    assert len(digests) == 60
    counts = [len(numbers) for numbers in PARTS.values()]
    assert digests[: counts[0]] == sorted(digests[: counts[0]])
    assert '"seed": 3' in text


@pytest.mark.parametrize("content", ["", "{}", '{"format": 9, "parts": {}}', '{"format": 1, "parts": []}', "[1]"])
def test_a_file_that_is_no_record_is_told(tmp_path: Path, content: str) -> None:
    """Rather than taken for one in which nobody is."""
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(InvalidSettings, match="no record of a split"):
        parts_of(path, ["anybody"])
    with pytest.raises(InvalidSettings, match="no record of a split"):
        parts_of(tmp_path / "missing.json", ["anybody"])


def test_the_digest_changes_with_anything_that_training_sees() -> None:
    """One embedding, one name, the clips, the split; not the name that somebody gives the data set."""

    def digest(faces: object = FACES, parts: dict = PARTS, name: str = "") -> str:
        described = describe_data(faces, parts, name=name, embedder_sha256="e", split_seed=0)  # type: ignore[arg-type]
        return str(described["digest"])

    changed = FACES.embeddings.copy()
    changed[-1, 5] += 1e-3
    others = [
        digest(replace(FACES, embeddings=changed)),
        digest(replace(FACES, names=("x", *FACES.names[1:]))),
        digest(replace(FACES, clip_length=FACES.clip_length[:-1])),
        digest(parts=split_people(FACES.names, 1)),
    ]
    assert len({digest(), *others}) == 5
    assert digest(name="mine") == digest()


def test_what_there_is_is_counted() -> None:
    """People by part, images, clips and real frames."""
    described = describe_data(FACES, PARTS, name="made", embedder_sha256="e", split_seed=0)
    assert sum(described["people"].values()) == 60
    assert (described["images"], described["clips"], described["real_frames"]) == (120, 60, 240)
