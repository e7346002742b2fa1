"""Images under one condition at a time, and how far a face is turned."""

from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.stages.scenes import other_portrait, portrait
from worker.engines.engine import Engine
from worker.errors import InvalidSettings
from worker.evaluation.conditions import DRAWS, Conditioned, conditioned, yaw_proxy
from worker.evaluation.single import KINDS, draw_one
from worker.training.data import EmbeddedFaces, embed_folder
from worker.training.degrade import Condition

MAY_CHANGE = {
    "light": {"gamma", "gain", "light_angle", "light_slope"},
    "blur": {"motion_length", "motion_angle", "focus_sigma"},
    "resolution": {"resolution"},
    "occlusion": {"occlusion_xywh", "occlusion_grey"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_changes_nothing_else(kind: str) -> None:
    """In 200 draws what belongs to the kind varies, and nothing else is touched but the severity."""
    rng = np.random.default_rng(0)
    drawn = [draw_one(kind, rng) for _ in range(200)]
    for field in fields(Condition):
        values = {getattr(condition, field.name) for condition in drawn}
        if field.name in MAY_CHANGE[kind]:
            assert len(values) > 20
        elif field.name != "severity":
            assert values == {getattr(Condition(), field.name)}


def test_no_such_kind() -> None:
    """It is named, with those that there are."""
    with pytest.raises(ValueError, match="light, blur, resolution, occlusion, not 'rain'"):
        draw_one("rain", np.random.default_rng(0))


@pytest.mark.parametrize(("nose", "expected"), [((50, 60), 0.0), ((60, 60), 0.5), ((40, 90), -0.5), ((54, 55), 0.2)])
def test_yaw_by_hand(nose: tuple[float, float], expected: float) -> None:
    """Eyes at 40 and 60: how far the nose is from their middle, by their distance; its height says nothing."""
    landmarks = np.array([(40, 40), (60, 40), nose, (42, 80), (58, 80)], np.float32)
    assert yaw_proxy(landmarks) == pytest.approx(expected, abs=1e-6)


def test_yaw_is_the_same_however_the_image_lies() -> None:
    """Turned in its plane, enlarged and moved; mirrored it changes its sign."""
    landmarks = np.array([(40, 40), (60, 42), (55, 62), (42, 80), (58, 80)], np.float64)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    assert yaw_proxy(3 * landmarks @ turn.T + 17) == pytest.approx(yaw_proxy(landmarks), abs=1e-9)
    mirrored = (landmarks * [-1, 1])[[1, 0, 2, 4, 3]]
    assert yaw_proxy(mirrored) == pytest.approx(-yaw_proxy(landmarks), abs=1e-9)


def test_poses_are_bins_of_the_size_of_the_angle() -> None:
    """Left and right alike."""
    yaw = np.array([0.0, -0.11, 0.2, -0.29, 0.31, -0.6], np.float32)
    assert Conditioned(np.zeros((6, 1)), yaw).pose().tolist() == [0, 0, 1, 1, 2, 2]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people; one has an image that shows no face and a file that is no image."""
    for name, image in (("ann", portrait()), ("bob", other_portrait())):
        (tmp_path / "people" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "people" / name / "b.png"), image)
    cv2.imwrite(str(tmp_path / "people" / "bob" / "a.png"), np.full((200, 200, 3), 128, np.uint8))
    (tmp_path / "people" / "bob" / "c.png").write_bytes(b"no image")
    return tmp_path / "people"


def both(people: Path, cache: Path, detector: Engine, embedder: Engine) -> tuple[EmbeddedFaces, Conditioned]:
    """As the command makes them."""
    faces = embed_folder(people, cache, detector, embedder, "digest")
    return faces, conditioned(people, faces, cache, detector, embedder, "digest")


def test_images_are_those_of_the_other_embeddings(
    people: Path, tmp_path: Path, detector: Engine, embedder: Engine
) -> None:
    """One image each, unusable files passed over alike; nearer to the person's own photo than to the other's."""
    faces, found = both(people, tmp_path / "cache", detector, embedder)
    assert found.embeddings.shape == (2, len(KINDS), DRAWS, 128) and found.yaw.shape == (2,)
    units = found.embeddings / np.linalg.norm(found.embeddings, axis=-1, keepdims=True)
    photos = faces.embeddings[[faces.rows(0)[0], faces.rows(1)[0]]]
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    own = np.einsum("pkde,pe->pkd", units, photos)
    other = np.einsum("pkde,pe->pkd", units, photos[::-1])
    assert (own > other).mean() > 0.9, "some are meant to be past recognition, most aren't"
    assert own.max() < 0.999, "nothing is left as it was"


def test_what_is_kept_is_not_made_again(people: Path, tmp_path: Path, detector: Engine, embedder: Engine) -> None:
    """With the cache no engine is needed, and the same comes back; another file is embedded anew."""
    faces, first = both(people, tmp_path / "cache", detector, embedder)
    again = conditioned(people, faces, tmp_path / "cache", None, None, "digest")  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.embeddings, first.embeddings)
    cv2.imwrite(str(people / "ann" / "b.png"), np.ascontiguousarray(portrait()[:, ::-1]))
    mirrored = conditioned(people, faces, tmp_path / "cache", detector, embedder, "digest")
    assert np.abs(mirrored.embeddings[0] - first.embeddings[0]).max() > 0.1
    np.testing.assert_array_equal(mirrored.embeddings[1], first.embeddings[1])


@pytest.mark.slow
def test_bad_files_and_a_damaged_cache(people: Path, tmp_path: Path, detector: Engine, embedder: Engine) -> None:
    """Links to nothing and folders are passed over as in the other embeddings, and a damaged file is made anew."""
    for number in range(5):
        (people / "ann" / f"a{number}.png").symlink_to("gone")
    (people / "bob" / "d.png").mkdir()
    _, first = both(people, tmp_path / "cache", detector, embedder)
    assert len(first.yaw) == 2
    for file in (tmp_path / "cache").glob("*.conditions.npz"):
        file.write_bytes(file.read_bytes()[:-40])
    _, again = both(people, tmp_path / "cache", detector, embedder)
    np.testing.assert_array_equal(again.embeddings, first.embeddings)


def test_a_cache_that_does_not_fit(people: Path, tmp_path: Path, detector: Engine, embedder: Engine) -> None:
    """Another number of images than was embedded: the file to delete is named."""
    faces, _ = both(people, tmp_path / "cache", detector, embedder)
    more = EmbeddedFaces(faces.embeddings, faces.severity, np.array([0, 1, 1]), faces.names)
    with pytest.raises(InvalidSettings, match="delete it and run again"):
        conditioned(people, more, tmp_path / "cache", detector, embedder, "digest")
