"""Real sequences: who is enrolled and who comes, what is laid over clips, what is told of jumps."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.engines.engine import Engine
from worker.engines.models import load_recognizer
from worker.errors import InvalidSettings
from worker.evaluation.pooling import Pooling
from worker.evaluation.real.clips import MIN_FRAMES, Clip, likeness, read_clips
from worker.evaluation.real.films import Film, films_by_person, known_films
from worker.evaluation.real.jobs import SERVED, rules_and_served, told_of_jumps
from worker.evaluation.real.jumps import jumped, named, noticed
from worker.evaluation.real.ladder import AS_IS, DRAWS, LEVELS, harder
from worker.evaluation.real.page import markdown
from worker.evaluation.real.rounds import ACROSS, TURNS, WITHIN, Footage, rounds, steady
from worker.evaluation.real.scoring import score_footage, tabulate
from worker.evaluation.real.shipped import Served, centers_of

NUM_FRAMES = 36


def made_up(people: int = 8, seed: int = 0) -> list[Clip]:
    """The first three people are in three clips each, the others in one; harder levels scatter more."""
    rng = np.random.default_rng(seed)
    clips = []
    for person in range(people):
        own = rng.normal(size=128)
        for _ in range(3 if person < 3 else 1):
            levels = {}
            for number, level in enumerate(LEVELS):
                draws = 1 if level == AS_IS else DRAWS
                noise = rng.normal(size=(draws, NUM_FRAMES, 128)) * (0.5 + 1.5 * number)
                levels[level] = ((own + noise) * rng.uniform(0.5, 1.2, (draws, NUM_FRAMES, 1))).astype(np.float32)
            clips.append(Clip(f"person {person}", "made up", levels))
    return clips


@pytest.fixture(scope="module")
def footage() -> Footage:
    """Of made-up people."""
    return Footage.of(made_up())


@pytest.mark.parametrize("length", [4, 16])
def test_no_track_shows_what_enrolled_its_person(footage: Footage, length: int) -> None:
    """Of several clips the enrolled one never comes; of one, no window lies in the third of the photo; none overlap."""
    seen: dict[int, set[int]] = {}
    for probes in rounds(footage, length):
        assert len(set(probes.own.tolist())) == len(probes.own), "one track of a person a round"
        for person, rows in zip(probes.own, probes.rows, strict=True):
            photo = int(probes.photos[person, 0])
            clip, shown = (int(np.searchsorted(footage.start, row, "right")) - 1 for row in (photo, rows[0]))
            assert footage.person[clip] == footage.person[shown] == person
            assert np.searchsorted(footage.start, rows[-1], "right") - 1 == shown, "a window stays in its clip"
            if person in footage.persons(ACROSS):
                assert clip != shown
            else:
                third = (photo - footage.start[clip]) * 3 // NUM_FRAMES
                assert not (((rows - footage.start[clip]) * 3 // NUM_FRAMES) == third).any()
            starts = seen.setdefault(int(person), set())
            starts.add(int(rows[0]))
    assert all(
        later - first >= length for s in seen.values() for first, later in zip(sorted(s), sorted(s)[1:], strict=False)
    )
    assert {len(seen[p]) > 0 for p in range(8)} == {True}
    assert sorted([*footage.persons(ACROSS), *footage.persons(WITHIN)]) == list(range(8))


def test_rows_follow_from_scores(footage: Footage) -> None:
    """Records of both kinds share impostors; rank-1 and TAR are those of the scores, and fall as levels get harder."""
    scored = score_footage(Pooling(exponent=8), footage)
    rows = tabulate({("norm8", 0): scored, ("centred_norm8", 0): scored}, 20)
    assert {(row["set"], row["condition"], row["T"]) for row in rows} == {
        (kind, level, length) for kind in (ACROSS, WITHIN) for level in LEVELS for length in (4, 8, 16)
    }
    at = {(row["set"], row["condition"], row["T"]): row for row in rows if row["aggregator"] == "norm8"}
    assert at[ACROSS, AS_IS, 8]["impostor"] == at[WITHIN, AS_IS, 8]["impostor"]
    assert (at[ACROSS, AS_IS, 8]["n_identities"], at[WITHIN, AS_IS, 8]["n_identities"]) == (3, 5)
    assert at[ACROSS, AS_IS, 8]["rank1"] == 1.0 > at[ACROSS, "strong", 4]["rank1"]
    hits = [
        Pooling(exponent=8).scores(drawn[p.rows], footage.clean[p.photos], [4])[0].argmax(1) == p.own
        for p in rounds(footage, 4)
        for drawn in footage.embeddings["strong"]
    ]
    mine = np.concatenate([hit[np.isin(p.own, footage.persons(ACROSS))] for p, hit in _twice(footage, hits)])
    assert at[ACROSS, "strong", 4]["rank1"] == pytest.approx(mine.mean())
    assert at[ACROSS, "strong", 4]["genuine"] == len(mine)
    assert at[ACROSS, "strong", 4]["miss_relative_to"]["norm8"]["1e-2"] == 1.0


def _twice(footage: Footage, hits: list) -> list:
    return list(zip([p for p in rounds(footage, 4) for _ in range(DRAWS)], hits, strict=True))


def test_harder_levels_drift_and_repeat() -> None:
    """Each level changes more than the one before; drawn again it is the same; nothing is occluded by a box."""
    crops = np.random.default_rng(0).integers(60, 200, (6, 112, 112, 3), np.uint8)
    crops = np.array([cv2.GaussianBlur(crop, (0, 0), 4) for crop in crops])
    assert harder(crops, AS_IS, 1)[0] is crops
    away = []
    for level in LEVELS[1:]:
        drawn = [d for seed in range(6) for d in harder(crops, level, seed)]
        assert len(drawn) == 6 * DRAWS
        assert not np.array_equal(drawn[0], drawn[1])
        np.testing.assert_array_equal(drawn[0], harder(crops, level, 0)[0])
        away.append(np.mean([np.abs(d.astype(int) - crops).mean() for d in drawn]))
    assert 0 < away[0] < away[1]


def test_a_jump_is_half_and_half_of_two_enrolled_people(footage: Footage) -> None:
    """The second half is of the person told; the mean is torn between both at the end, the first frame is not."""
    for probes, other in jumped(footage, 8):
        assert (other != probes.own).all()
        whose = footage.person[np.searchsorted(footage.start, probes.rows, "right") - 1]
        assert (whose[:, :8] == probes.own[:, None]).all() and (whose[:, 8:] == other[:, None]).all()
    told = {rule: named(rule, Pooling(rule), footage) for rule in ("first", "mean")}
    first, mean = (next(r for r in told[rule] if r["condition"] == AS_IS and r["half"] == 8) for rule in told)
    assert first["first"] == [1.0] * 4
    assert mean["first"][0] == 1.0 and mean["first"][-1] < 0.9
    assert mean["first"][-1] + mean["second"][-1] == pytest.approx(1.0)


class Oracle:
    """Says two frames late that a frame is unlike the track's first."""

    def sure(self, frames_BTE: np.ndarray) -> np.ndarray:
        """Share by the cosine with the first frame."""
        units = frames_BTE / np.linalg.norm(frames_BTE, axis=2, keepdims=True)
        alike = np.einsum("bte,be->bt", units, units[:, 0])
        return np.concatenate([np.ones((len(units), 2)), alike[:, :-2]], axis=1) - 0.5


def test_noticing_is_counted_from_the_first_frame_of_the_other(footage: Footage) -> None:
    """Who notices in the third frame is never in time within two, always within four, and the median is three."""
    row = next(r for r in noticed("oracle", Oracle(), footage) if r["limit"] == "foreign" and r["condition"] == AS_IS)
    assert row["within"] == {"2": 0.0, "4": 1.0, "8": 1.0}
    assert (row["median_frames"], row["false_alarms"]) == (3.0, 0.0)
    assert row["steady"] == len(steady(footage, 16))


def test_served_recognizer_reads_as_serving_does(footage: Footage) -> None:
    """Scores after T frames don't depend on what comes later; a track's frames decide; its centres aren't zero."""
    served, model = Served.of(load_recognizer()), load_recognizer()
    frames, photos = footage.clean[steady(footage, 8)[:5]], footage.clean[:3, None]
    both = served.scores(frames, photos, [4, 8])
    np.testing.assert_array_equal(both[0], served.scores(frames[:, :4], photos, [4])[0])
    assert both.shape == (2, 5, 3) and np.abs(both[0] - both[1]).max() > 1e-3
    centers = centers_of(model)
    assert np.linalg.norm(centers.probe) > 0.05 and np.linalg.norm(centers.gallery) > 0.05


def test_folder_of_one_s_own(tmp_path: Path) -> None:
    """PERSON/CLIP/*.jpg and PERSON/clip.mp4 are films of their person; a folder without is refused with the layout."""
    (tmp_path / "ann" / "monday").mkdir(parents=True)
    (tmp_path / "ann" / "monday" / "0.jpg").touch()
    (tmp_path / "ann" / "tuesday.mp4").touch()
    (tmp_path / "ben").mkdir()
    found = films_by_person(tmp_path)
    assert [(film.path.name, film.people) for film in found] == [("monday", ("ann",)), ("tuesday.mp4", ("ann",))]
    with pytest.raises(InvalidSettings, match="PERSON/CLIP"):
        films_by_person(tmp_path / "ben")


@pytest.mark.slow
def test_test_data_are_read_scored_and_told(
    test_data: Path, tmp_path: Path, detector: Engine, embedder: Engine
) -> None:
    """One film of each source and a broken one: everybody found, the cache used, every table made."""
    films = [f for f in known_films(test_data) if f.path.name in ("0001_00_00_01", "0001_00_00_02", "pwij3p.mpg")]
    films += [f for f in known_films(test_data) if f.path.stem == "face-demographics-walking-and-pause"]
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    notes: list[str] = []
    told = lambda done, total, line: notes.append(line)  # noqa: E731
    broken = Film(tmp_path / "broken.mp4", ("nobody",), "clips")
    clips = read_clips([*films, broken], tmp_path / "cache", detector, embedder, "digest", told)
    assert [clip.person for clip in clips] == ["0001"] * 2 + ["talker twice", *films[-1].people]
    assert [note for note in notes if note] and all("broken.mp4" in note for note in notes if note)
    assert all(len(clip) >= MIN_FRAMES for clip in clips)
    norms = [[np.linalg.norm(c.embeddings[level], axis=-1).mean() for c in clips] for level in LEVELS]
    assert np.mean(norms[0]) > np.mean(norms[1]) > np.mean(norms[2]), "harder faces have shorter embeddings"
    again = read_clips(films, tmp_path / "cache", None, None, "digest")  # type: ignore[arg-type]  # all from the cache
    np.testing.assert_array_equal(again[0].embeddings["strong"], clips[0].embeddings["strong"])
    same, other = likeness(clips)
    assert same > 0.6 > other
    done = rules_and_served(load_recognizer(), Footage.of(clips))
    rows = tabulate(done, 10)
    assert all(row["rank1"] == 1.0 for row in rows if row["aggregator"] == SERVED and row["condition"] == AS_IS)
    page = markdown(
        {
            "weights": {"digest": "0" * 64, "cell": "lstm"}, "trained": "", "levels": {"mild": 0.5}, "draws": DRAWS,
            "bootstraps": 10, "rows": rows, "named": told_of_jumps(done, "named"),
            "noticed": told_of_jumps(done, "noticed"),
            "footage": {
                "people": 5, "clips": 6, "clips_by_source": {}, "frames": 1,
                "likeness": {"same_person_least": same, "two_people_most": other},
            },
        }
    )  # fmt: skip
    assert page.count("| served |") >= 12
    json.dumps(rows)
    assert TURNS == 3
