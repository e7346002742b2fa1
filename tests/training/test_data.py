"""Folders of people, embedded by the real models: images, clips, what is passed over, what is computed once."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.stages.scenes import faceless, other_portrait, portrait
from worker.engines.engine import Engine
from worker.errors import FacelineError
from worker.sources import encode_jpeg
from worker.training.clips import of_one_person, read_clip
from worker.training.data import VARIANTS, EmbeddedFaces, embed_folder
from worker.types import Image

Embed = Callable[..., tuple[EmbeddedFaces, list[str]]]


class Counting:
    """An engine that counts its calls."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.calls = engine, 0
        self.inputs, self.outputs = engine.inputs, engine.outputs

    def run(self, inputs: dict) -> dict:
        """As the engine does."""
        self.calls += 1
        return self._engine.run(inputs)


@pytest.fixture
def embedded(tmp_path: Path, detector: Engine, embedder: Engine) -> Embed:
    """Embeds ``tmp_path/people`` and gives what was told."""

    def run(detector: Engine = detector, embedder: Engine = embedder, **options: object) -> object:
        told: list[str] = []
        options.setdefault("clips", True)
        faces = embed_folder(
            tmp_path / "people", tmp_path / "cache", detector, embedder, "digest",
            report=lambda _done, _total, line: told.append(line), **options,
        )  # fmt: skip
        return faces, [line for line in told if line]

    return run  # type: ignore[return-value]


def write(folder: Path, name: str, image: Image) -> None:
    """As JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(encode_jpeg(image))


def frame(image: Image, number: int) -> Image:
    """The image a few pixels on: a frame of a clip."""
    return np.roll(image, (number, 2 * number), (0, 1))


def png_header(size: int) -> bytes:
    """A PNG that promises so many pixels a side, and has none."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def video(path: Path, image: Image, frames: int, fps: float = 10) -> None:
    """An MP4 of the image in motion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = image.shape[1] // 2 * 2, image.shape[0] // 2 * 2
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for number in range(frames):
        writer.write(cv2.resize(frame(image, number), size))
    writer.release()


@pytest.mark.slow
def test_clips_are_embedded_as_they_are(tmp_path: Path, embedded: Embed) -> None:
    """A folder of frames and a video beside a photo: real rows after the made ones, one image more for each clip."""
    collins = tmp_path / "people" / "collins"
    write(collins, "photo.jpg", portrait())
    for number in range(4):
        write(collins / "walk", f"{number:03d}.jpg", frame(portrait(), number))
    video(collins / "talk.mp4", portrait(), frames=9)
    write(tmp_path / "people" / "hopper", "photo.jpg", other_portrait())
    faces, told = embedded()
    assert told == []
    assert faces.names == ("collins", "hopper")
    assert faces.person.tolist() == [0, 0, 0, 1]
    assert faces.clip_image.tolist() == [1, 2], "talk.mp4 and walk, in name order, after the photo"
    assert faces.clip_length.tolist() == [5, 4], "five frames a second of a video of nine at ten; all of a folder's"
    assert faces.clip_start.tolist() == [4 * VARIANTS, 4 * VARIANTS + 5]
    assert faces.embeddings.shape == (4 * VARIANTS + 9, 128)
    assert (faces.severity[4 * VARIANTS :] == 0).all()
    units = faces.embeddings / np.linalg.norm(faces.embeddings, axis=1, keepdims=True)
    assert (units[4 * VARIANTS :] @ units[0] > 0.6).all()
    for clip in range(2):
        own = faces.embeddings[faces.clip_start[clip] :][: faces.clip_length[clip]]
        best = own[np.linalg.norm(own, axis=1).argmax()]
        # The embedder's sums depend on the batch by rounding alone.
        np.testing.assert_allclose(faces.embeddings[faces.clip_image[clip] * VARIANTS], best, atol=1e-3)
    without, _ = embedded(clips=False)
    assert without.person.tolist() == [0, 1]
    assert len(without.clip_length) == 0


def test_what_is_no_face_of_the_person_is_passed_over(tmp_path: Path, embedded: Embed) -> None:
    """Another person, a wall and a broken file amid a clip; a clip of nothing; each told, and the rest goes on."""
    collins = tmp_path / "people" / "collins"
    for number in range(6):
        write(collins / "walk", f"{number}.jpg", frame(portrait(), number))
    write(collins / "walk", "3.jpg", other_portrait())
    write(collins / "walk", "4.jpg", faceless())
    (collins / "walk" / "5.jpg").write_bytes(b"\xff\xd8 broken")
    write(collins / "wall", "0.jpg", faceless())
    (collins / "broken.mp4").write_bytes(b"no video")
    write(collins, "wall.jpg", faceless())
    write(collins, "photo.jpg", portrait())
    (collins / "notes.txt").write_text("not asked for")
    (tmp_path / "people" / "nobody").mkdir()
    faces, told = embedded()
    assert faces.names == ("collins",)
    assert faces.clip_length.tolist() == [3]
    for number, reason in ((3, "another person's face"), (4, "no face"), (5, "not an image")):
        assert sum(f"walk, frame {number}: {reason}" in line for line in told) == 1
    assert sum("broken.mp4" in line and "can't be read as a video" in line for line in told) == 1
    assert sum("wall: fewer than two frames" in line for line in told) == 1
    assert sum(line.endswith("wall.jpg: no face, passed over") for line in told) == 1
    assert sum("nobody: no image or clip shows a face" in line for line in told) == 1
    assert len(told) == 8, "and the wall's one frame"


def test_an_image_of_somebody_else_is_reported(tmp_path: Path, embedded: Embed) -> None:
    """Two people in one folder: told at every run, cached or not, and used as it is."""
    collins = tmp_path / "people" / "collins"
    for number in range(4):
        write(collins, f"{number}.jpg", other_portrait() if number == 2 else frame(portrait(), number))
    for _ in range(2):
        faces, told = embedded()
        assert len(faces.person) == 4
        assert len(told) == 1
        assert told[0].startswith("collins, usable image 3 of 4")


@pytest.mark.slow
@pytest.mark.parametrize("clips", [True, False])
def test_what_is_no_file_is_passed_over(tmp_path: Path, embedded: Embed, clips: bool) -> None:
    """A link to nothing, a folder with a photo's name, an image larger than OpenCV takes; a clip named like a photo."""
    collins = tmp_path / "people" / "collins"
    write(collins, "photo.jpg", portrait())
    write(collins, "cut.jpg", portrait())
    (collins / "cut.jpg").write_bytes((collins / "cut.jpg").read_bytes()[:-2000])
    (collins / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    (collins / "folder.jpg").mkdir()
    (collins / "huge.png").write_bytes(png_header(100_000))
    for number in range(3):
        write(collins / "walk.jpg", f"{number}.jpg", frame(portrait(), number))
    (collins / "link.mp4").symlink_to("gone.mp4")
    (collins / "walk.jpg" / "link.jpg").symlink_to("gone.jpg")
    faces, told = embedded(clips=clips)
    assert faces.person.tolist() == ([0, 0] if clips else [0])
    bad = ["cut.jpg", "folder.jpg", "huge.png", "link.jpg", *([] if clips else ["walk.jpg"])]
    refused = [line for line in told if "not an image (" in line and line.endswith("), passed over")]
    assert [line.split(":")[0] for line in refused] == [str(collins / name) for name in bad]
    assert sum("link.mp4" in line for line in told) == clips
    again, told = embedded(clips=clips, detector=None)
    assert told == [] and np.array_equal(again.embeddings, faces.embeddings)
    write(tmp_path, "gone.jpg", portrait())
    assert len(embedded(clips=clips)[0].person) == len(faces.person) + 1, "what can be read now is read"


@pytest.mark.slow
def test_bad_photos_take_no_good_ones_place(tmp_path: Path, embedded: Embed) -> None:
    """The first two that can be used are used, wherever they come; who has none but bad ones is told."""
    collins = tmp_path / "people" / "collins"
    for number in range(3):
        write(collins, f"0{number}.jpg", faceless())
    write(tmp_path / "people" / "nobody", "0.jpg", faceless())
    for number in range(4):
        write(collins, f"1{number}.jpg", frame(portrait(), number))
    faces, told = embedded(max_images=2)
    assert faces.names == ("collins",) and faces.person.tolist() == [0, 0]
    assert [line for line in told if "collins" in line] == [
        f"{collins / f'0{number}.jpg'}: no face, passed over" for number in range(3)
    ]
    assert np.array_equal(embedded(max_images=2, detector=None)[0].embeddings, faces.embeddings)
    assert embedded(max_images=3)[0].person.tolist() == [0, 0, 0], "found by how many are wanted, too"
    for number in range(3):
        (collins / f"0{number}.jpg").unlink()
    np.testing.assert_allclose(embedded(max_images=2)[0].embeddings, faces.embeddings, atol=1e-3)


@pytest.mark.slow
def test_everything_is_computed_once(tmp_path: Path, embedded: Embed, detector: Engine, embedder: Engine) -> None:
    """The second run calls no model; a changed frame, an added file and a damaged cache file are computed anew."""
    for name, image in (("collins", portrait()), ("hopper", other_portrait())):
        for number in range(2):
            write(tmp_path / "people" / name / "clip", f"{number}.jpg", frame(image, number))
    counting = Counting(detector)
    first, _ = embedded(detector=counting)
    assert counting.calls > 0
    counting.calls = 0
    again, _ = embedded(detector=counting)
    assert counting.calls == 0
    assert np.array_equal(first.embeddings, again.embeddings)
    write(tmp_path / "people" / "collins" / "clip", "1.jpg", frame(portrait(), 5))
    changed, _ = embedded(detector=counting)
    assert counting.calls == 2, "one person's two frames"
    assert not np.array_equal(first.embeddings, changed.embeddings)
    counting.calls = 0
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    repaired, _ = embedded(detector=counting)
    assert counting.calls == 4
    assert np.array_equal(repaired.embeddings, changed.embeddings)


def test_an_interrupted_run_goes_on(
    tmp_path: Path, embedded: Embed, detector: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was embedded before Ctrl-C isn't again."""
    for name, image in (("collins", portrait()), ("hopper", other_portrait())):
        write(tmp_path / "people" / name, "photo.jpg", image)

    class Interrupted(Counting):
        def run(self, inputs: dict) -> dict:
            if self.calls:
                raise KeyboardInterrupt
            return super().run(inputs)

    with pytest.raises(KeyboardInterrupt):
        embedded(detector=Interrupted(detector))
    counting = Counting(detector)
    faces, _ = embedded(detector=counting)
    assert faces.names == ("collins", "hopper")
    assert counting.calls == 1


def test_a_folder_without_a_face_is_told(tmp_path: Path, embedded: Embed) -> None:
    """Empty, or of walls."""
    (tmp_path / "people").mkdir()
    with pytest.raises(FacelineError, match="shows no face"):
        embedded()
    write(tmp_path / "people" / "wall", "0.jpg", faceless())
    with pytest.raises(FacelineError, match="shows no face"):
        embedded()


def test_poor_frames_stay_and_clear_strangers_go() -> None:
    """A short embedding may be anybody's and stays; a long one unlike the clip's mean is another person's."""
    rng = np.random.default_rng(0)
    mine, theirs = np.linalg.qr(rng.normal(size=(128, 2)))[0].T
    noise = rng.normal(size=(9, 128)) * 0.02
    frames = np.stack([*[mine * 10] * 5, theirs * 10, theirs * 10, theirs * 4, mine * 3]) + noise
    assert of_one_person(frames.astype(np.float32)).tolist() == [True] * 5 + [False] * 2 + [True] * 2
    assert len(of_one_person(np.zeros((0, 128), np.float32))) == 0


@pytest.mark.slow
def test_real_sessions_belong_to_their_people(test_data: Path, detector: Engine, embedder: Engine) -> None:
    """Of sessions before a webcam (NUAA), no frame of the person's own is taken for a stranger's."""
    people = sorted(path for path in (test_data / "webcam").iterdir() if path.is_dir())[:2]
    for session in [min(path for path in person.iterdir() if path.is_dir()) for person in people]:
        clip, told = read_clip(session, detector, embedder)
        assert clip is not None
        assert not any("another person" in line for line in told)
        assert len(clip.embeddings) > 20
