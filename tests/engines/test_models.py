"""Model files: what is missing, damaged or of another make is refused before it is loaded, with the cure."""

import hashlib
import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.engines.models import Manifest, check_original, keep, load, load_recognizer, manifests, prepared_path
from worker.errors import InvalidSettings, ModelError

CONTENT = b"a model, for all that a digest can tell"


@pytest.fixture
def manifest() -> Manifest:
    """YuNet's."""
    return manifests()["yunet"]


@pytest.fixture
def cache(tmp_path: Path, manifest: Manifest) -> Path:
    """A cache in which the model is intact."""
    path = prepared_path(manifest, tmp_path)
    path.write_bytes(CONTENT)
    path.with_suffix(".sha256").write_text(f"{manifest.sha256} {hashlib.sha256(CONTENT).hexdigest()}\n")
    return tmp_path


def test_two_writers_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One comes between another's writing and renaming: both succeed, and nothing is left beside the file."""
    path, replace = tmp_path / "model.onnx", Path.replace

    def overtaken(partial: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        keep(path, CONTENT)
        return replace(partial, target)

    monkeypatch.setattr(Path, "replace", overtaken)
    keep(path, CONTENT)
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A file instead of the folder, a folder instead of the file: one line with the cure, and nothing is left."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "model.onnx").mkdir()
    for path in (tmp_path / "file" / "model.onnx", tmp_path / "model.onnx"):
        with pytest.raises(InvalidSettings, match=r"model\.onnx can't be written \(.*\): free space .* models\.dir"):
            keep(path, CONTENT)
    assert not list(tmp_path.glob("*.part"))


def test_manifests_describe_both_models() -> None:
    """Role, licence, digest, size and at least one place to get them."""
    known = manifests()
    assert {name: m.role for name, m in known.items()} == {"sface": "embedder", "yunet": "detector"}
    for m in known.values():
        assert len(m.sha256) == 64
        assert m.bytes > 100_000
        assert m.licence in ("MIT", "Apache-2.0")
        assert m.sources


def test_published_files_are_those_of_the_manifests(original_models: dict[str, Path]) -> None:
    """Digest and size in the manifest are the files' own."""
    for name, path in original_models.items():
        assert path.stat().st_size == manifests()[name].bytes
        check_original(manifests()[name], path.read_bytes(), str(path))


def test_intact_is_loaded(manifest: Manifest, cache: Path) -> None:
    """The bytes that were written."""
    assert load(manifest, cache) == CONTENT


def _change_the_model(path: Path) -> None:
    path.write_bytes(CONTENT.replace(b"a", b"b", 1))


def _shorten_the_model(path: Path) -> None:
    path.write_bytes(CONTENT[:-1])


def _of_another_file(path: Path) -> None:
    path.with_suffix(".sha256").write_text(f"{'0' * 64} {hashlib.sha256(CONTENT).hexdigest()}\n")


def _empty_digest(path: Path) -> None:
    path.with_suffix(".sha256").write_text("")


def _binary_digest(path: Path) -> None:
    path.with_suffix(".sha256").write_bytes(b"\xff\xfe\x00" * 20)


@pytest.mark.parametrize(
    "spoil", [_change_the_model, _shorten_the_model, _of_another_file, _empty_digest, _binary_digest]
)
def test_damaged_is_refused(manifest: Manifest, cache: Path, spoil) -> None:
    """The message names the file and the command that cures it."""
    path = prepared_path(manifest, cache)
    spoil(path)
    with pytest.raises(ModelError, match=r"is damaged or was made from another file.*pull --force") as caught:
        load(manifest, cache)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".onnx", ".sha256"])
def test_missing_is_refused(manifest: Manifest, cache: Path, suffix: str) -> None:
    """Without model or digest: the message names the model, the folder and the command."""
    prepared_path(manifest, cache).with_suffix(suffix).unlink()
    with pytest.raises(ModelError, match=r"model 'yunet' is not in .*: run 'faceline models pull'") as caught:
        load(manifest, cache)
    assert str(cache) in str(caught.value)


def test_a_wrong_original_is_told_apart(manifest: Manifest) -> None:
    """Both sizes and both digests are in the message."""
    with pytest.raises(ModelError, match="elsewhere is not face_detection_yunet") as caught:
        check_original(manifest, CONTENT, "elsewhere")
    for told in (f"{len(CONTENT)} bytes", hashlib.sha256(CONTENT).hexdigest()[:12], str(manifest.bytes)):
        assert told in str(caught.value)


@pytest.mark.parametrize("change", [{"colour": "red"}, {"rewrite": "yunet-2"}, {"role": "judge"}, {"sources": [{}]}])
def test_a_wrong_manifest_is_refused(manifest: Manifest, change: dict) -> None:
    """Unknown keys and values don't pass."""
    with pytest.raises(ValidationError):
        Manifest.model_validate(manifest.model_dump() | change)


class TestRecognizer:
    """The recognizer's folder."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A copy of the shipped one."""
        with resources.as_file(resources.files("worker") / "data" / "recognizer") as source:
            return Path(shutil.copytree(source, tmp_path / "recognizer"))

    def test_a_copy_is_the_shipped_one(self, folder: Path) -> None:
        """The folder that 'faceline train' writes loads as the package's does."""
        assert load_recognizer(folder) == load_recognizer()

    def test_its_table_is_a_table(self, folder: Path) -> None:
        """Calibration and impostors come from the manifest."""
        described = json.loads((folder / "recognizer.json").read_text())
        model = load_recognizer(folder)
        assert model.impostors.score == tuple(described["impostors"]["score"])
        assert model.calibration.scale == described["llr"]["scale"]
        assert model.horizon == described["model"]["horizon"]

    @pytest.mark.parametrize("name", ["recognizer.onnx", "enrol.onnx"])
    def test_damaged_networks_are_refused(self, folder: Path, name: str) -> None:
        """One flipped bit is enough; the message names the file and both digests."""
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        with pytest.raises(ModelError, match=f"{name} in .* has digest .*, its manifest says .*: train it or install"):
            load_recognizer(folder)

    @pytest.mark.parametrize("name", ["recognizer.onnx", "enrol.onnx", "recognizer.json"])
    def test_missing_files_are_refused(self, folder: Path, name: str) -> None:
        """The message lists what belongs there."""
        (folder / name).unlink()
        with pytest.raises(ModelError, match=r"no usable recognizer in .*expected recognizer\.onnx, enrol\.onnx and"):
            load_recognizer(folder)

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "null", "{}", '{"files": []}', '{"files": {"recognizer.onnx": 5, "enrol.onnx": 5}}', "\xff"],
    )
    def test_a_manifest_that_is_none_is_refused(self, folder: Path, text: str) -> None:
        """Whatever stands in its place, one clear error comes back."""
        (folder / "recognizer.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(ModelError, match="no usable recognizer in"):
            load_recognizer(folder)

    @pytest.mark.parametrize("key", ["files", "model", "llr", "impostors"])
    def test_every_part_is_needed(self, folder: Path, key: str) -> None:
        """A manifest without one of them names it."""
        described = json.loads((folder / "recognizer.json").read_text())
        del described[key]
        (folder / "recognizer.json").write_text(json.dumps(described))
        with pytest.raises(ModelError, match=f"KeyError\\('{key}'\\)"):
            load_recognizer(folder)

    def test_one_without_an_alarm_is_refused(self, folder: Path) -> None:
        """An earlier version trained it: what to do is said, not what is missing inside."""
        described = json.loads((folder / "recognizer.json").read_text())
        del described["false_alarms"]
        (folder / "recognizer.json").write_text(json.dumps(described))
        with pytest.raises(ModelError, match="no alarm for jumps: an earlier version trained it; train it again"):
            load_recognizer(folder)

    def test_a_table_that_falls_is_refused(self, folder: Path) -> None:
        """Scores that don't rise while FAR falls can't give thresholds."""
        described = json.loads((folder / "recognizer.json").read_text())
        described["impostors"]["score"].reverse()
        (folder / "recognizer.json").write_text(json.dumps(described))
        with pytest.raises(ModelError, match="far falling and score rising"):
            load_recognizer(folder)
