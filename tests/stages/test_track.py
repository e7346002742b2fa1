"""The tracker on small scenes: faces are squares of 40 pixels unless a scene says otherwise."""

import itertools
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from worker.stages.track import TrackerState, TrackOptions, _assign, expire, split, track
from worker.types import MICROSECONDS, Faces, FrameRef, TrackEnd, TrackUpdate

OPTIONS = TrackOptions()
START_US = 1_700_000_000 * MICROSECONDS

Point = tuple[float, ...]  # centre x, centre y, and optionally score and size


def frame_ref(offset: int, seconds: float) -> FrameRef:
    """A frame of the one camera of these tests."""
    return FrameRef("door", "topicA", 3, offset, START_US + round(seconds * MICROSECONDS))


def faces_at(points: list[Point]) -> Faces:
    """Square faces around points, in the order given."""
    rows = [(*point, *(0.9, 40.0)[len(point) - 2 :]) for point in points]
    boxes = [(x - size / 2, y - size / 2, x + size / 2, y + size / 2) for x, y, _, size in rows]
    return Faces(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros((len(rows), 5, 2), np.float32),
        np.array([score for _, _, score, _ in rows], np.float32),
    )


class Film:
    """Plays frames and remembers what the tracker said."""

    def __init__(self, options: TrackOptions = OPTIONS, state: TrackerState | None = None) -> None:
        self.options, self.state, self.offset = options, state or TrackerState(), 0
        self.updates: tuple[TrackUpdate, ...] = ()
        self.ends: list[TrackEnd] = []
        self.num_refused = 0

    def show(self, seconds: float, points: list[Point]) -> tuple[TrackUpdate, ...]:
        """One frame."""
        ref = frame_ref(self.offset, seconds)
        self.state, self.updates, ends, refused = track(self.state, faces_at(points), ref, self.options)
        self.ends += ends
        self.num_refused += refused
        self.offset += 1
        return self.updates

    def play(self, fps: float, seconds: float, *paths: object, start: float = 0.0) -> None:
        """Frames at a rate; a path is a function from seconds to a point, or to None where nothing is seen."""
        for number in range(round(fps * seconds)):
            now = start + number / fps
            points = [path(now) for path in paths]  # type: ignore[operator]
            self.show(now, [point for point in points if point is not None])

    def ids(self) -> list[str]:
        """Ids of the open tracks."""
        return [update.track_id for update in self.updates]


def test_birth_names_the_track_after_its_first_frame_and_face() -> None:
    """Two faces born in one frame have ids of their own, built from topic, partition, offset and face index."""
    film = Film()
    film.show(0.0, [])
    first, second = film.show(0.1, [(100, 100), (300, 100)])
    assert (first.track_id, second.track_id) == ("topicA-3-1-0", "topicA-3-1-1")
    assert first.hits == 1 and first.face_index == 0 and first.first_seen_us == START_US + 100_000
    assert first.box_xyxy == pytest.approx((80, 80, 120, 120))


def test_the_order_of_faces_does_not_move_ids() -> None:
    """Detections come best first, so their order changes from frame to frame; ids stay where the faces are."""
    film = Film()
    film.show(0.0, [(100, 100), (300, 100)])
    updates = film.show(0.1, [(301, 100), (99, 100)])
    assert [(u.track_id, u.face_index, u.hits) for u in updates] == [("topicA-3-0-0", 1, 2), ("topicA-3-0-1", 0, 2)]


SCORES = [
    # score of the only face, tracks open afterwards
    (0.95, 1),
    (OPTIONS.birth_score + 0.01, 1),
    (OPTIONS.birth_score - 0.01, 0),  # high enough to be followed, too low to begin
    (OPTIONS.low_score + 0.01, 0),
    (OPTIONS.low_score - 0.01, 0),
]


@pytest.mark.parametrize(("score", "num_open"), SCORES)
def test_only_sure_faces_begin_a_track(score: float, num_open: int) -> None:
    """A low-score face never gives birth."""
    assert len(Film().show(0.0, [(100, 100, score)])) == num_open


RESCUES = [
    # score in the third frame, seen there
    (0.95, True),
    (0.45, True),  # half hidden: assigned in the second stage
    (0.35, False),  # below low_score: noise
]


@pytest.mark.parametrize(("score", "seen"), RESCUES)
def test_a_low_score_face_keeps_an_open_track_alive(score: float, seen: bool) -> None:
    """ByteTrack's second stage: a weak face where a track is expected belongs to it."""
    film = Film()
    film.show(0.0, [(100, 100)])
    film.show(0.1, [(104, 100)])
    (update,) = film.show(0.2, [(108, 100, score)])
    assert (update.face_index >= 0) is seen
    assert update.hits == (3 if seen else 2)


def test_a_high_score_face_is_preferred_to_a_nearer_low_score_one() -> None:
    """The first stage assigns before the second sees the weak face."""
    film = Film()
    film.show(0.0, [(100, 100)])
    film.show(0.1, [(100, 100)])
    (update,) = film.show(0.2, [(110, 100, 0.9), (100, 100, 0.5)])
    assert update.face_index == 0


@pytest.mark.parametrize("fps", [2.0, 5.0, 12.5, 30.0])
def test_a_track_is_lost_by_event_time_at_any_frame_rate(fps: float) -> None:
    """It ends in the first frame more than 1.5 s after the last face: never in one before, whatever the rate."""
    film = Film()
    film.play(fps, 1.0, lambda now: (100, 100))
    last_seen_us = film.updates[0].last_seen_us
    while not film.ends and film.offset < 4 * fps:
        film.show(film.offset / fps, [])
    unseen = (film.state.time_us - last_seen_us) / MICROSECONDS
    assert 1.5 < unseen <= 1.5 + 1 / fps + 1e-5
    assert film.ends == [TrackEnd("topicA-3-0-0", "left", last_seen_us)]


def test_a_face_after_a_long_gap_is_a_new_track() -> None:
    """The camera paused: timers run on capture times, so the old track ends before the face is looked at."""
    film = Film()
    film.play(10, 0.5, lambda now: (100, 100))
    updates = film.show(10.0, [(100, 100)])
    assert [end.track_id for end in film.ends] == ["topicA-3-0-0"]
    assert [(u.track_id, u.hits) for u in updates] == [("topicA-3-5-0", 1)]


def test_a_single_hit_dies_sooner() -> None:
    """A track on probation ends after probation_seconds, an established one beside it lives on."""
    film = Film()
    film.show(0.0, [(100, 100)])
    film.show(0.1, [(100, 100), (400, 100)])
    film.show(0.7, [])
    assert [end.track_id for end in film.ends] == ["topicA-3-1-1"]
    assert film.ids() == ["topicA-3-0-0"]


@pytest.mark.parametrize(("seconds", "followed"), [(1.0, True), (1.4, True), (1.6, False)])
def test_a_slow_camera_is_followed(seconds: float, followed: bool) -> None:
    """A newborn that no frame has missed yet is waited for, up to lost_seconds, however far apart frames come."""
    film = Film()
    for number in range(4):
        film.show(number * seconds, [(100, 100)])
    assert (film.ids() == ["topicA-3-0-0"]) is followed
    film.show(4 * seconds, [(100, 100), (400, 100)])
    film.show(5 * seconds, [(100, 100)])
    assert "topicA-3-4-1" in [end.track_id for end in film.ends]  # missed once, on probation


def test_expire_closes_by_time_alone() -> None:
    """A silent camera: at 1.5 s nothing happens, right after it the track is over, and earlier times do no harm."""
    film = Film()
    film.play(10, 0.5, lambda now: (100, 100))
    last_us = film.state.time_us
    for harmless in (last_us - MICROSECONDS, last_us, last_us + 1_500_000):
        assert expire(film.state, harmless, OPTIONS) == (film.state, ())
    state, ends = expire(film.state, last_us + 1_500_001, OPTIONS)
    assert state.tracks == () and ends == (TrackEnd("topicA-3-0-0", "left", last_us),)


def test_an_unseen_track_is_shown_where_it_should_be() -> None:
    """The prediction goes on at the track's own speed, and its snapshot stays as it was last seen."""
    film = Film()
    film.play(10, 1.0, lambda now: (100 + 200 * now, 100))
    before = film.state.tracks
    (update,) = film.show(1.2, [])
    assert update.face_index == -1 and not update.ambiguous and update.last_seen_us == START_US + 900_000
    assert (update.box_xyxy[0] + update.box_xyxy[2]) / 2 == pytest.approx(340, abs=8)
    assert film.state.tracks == before


SPEEDS = [
    # frames per second, pixels per second; boxes of 40 pixels
    (30.0, 400.0),
    (12.0, 400.0),
    (5.0, 320.0),  # 64 pixels per frame: boxes don't touch
    (5.0, 60.0),
]


@pytest.mark.parametrize(("fps", "speed"), SPEEDS)
def test_a_fast_face_keeps_its_id(fps: float, speed: float) -> None:
    """Association doesn't need boxes that overlap."""
    film = Film()
    film.play(fps, 1.6, lambda now: (50 + speed * now, 100))
    assert film.ids() == ["topicA-3-0-0"] and not film.ends


@pytest.mark.parametrize("seed", range(5))
def test_an_uneven_clock_keeps_ids(seed: int) -> None:
    """Frames come 30 to 300 ms apart, in no pattern."""
    rng, now = np.random.default_rng(seed), 0.0
    film = Film()
    for _ in range(30):
        now += float(rng.uniform(0.03, 0.3))
        film.show(now, [(100 + 100 * now, 100), (700 - 80 * now, 180)])
    assert film.ids() == ["topicA-3-0-0", "topicA-3-0-1"] and not film.ends


CROSSINGS = [
    # frames per second, vertical distance in pixels, seconds for which the rear face can't be seen
    (30.0, 0.0, 0.3),
    (12.0, 4.0, 0.4),
    (5.0, 8.0, 0.4),
    (12.0, 8.0, 0.0),
]


@pytest.mark.parametrize(("fps", "distance", "hidden"), CROSSINGS)
def test_crossing_faces_keep_their_ids_and_are_called_ambiguous(fps: float, distance: float, hidden: float) -> None:
    """Two people walk through each other at 150 pixels per second each; they meet at 1.5 s."""
    film = Film()
    ambiguous = False
    for number in range(round(3 * fps)):
        now = number / fps
        points: list[Point] = [(100 + 150 * now, 100)]
        if abs(now - 1.5) >= hidden / 2:
            points.append((550 - 150 * now, 100 + distance))
        updates = film.show(now, points)
        if now < 0.9:
            assert not any(update.ambiguous for update in updates[:2] if update.hits > 2)
        ambiguous |= any(update.ambiguous for update in updates)
    left, right = film.updates
    assert ambiguous and not film.ends
    assert left.track_id == "topicA-3-0-0" and left.box_xyxy[0] > 450
    assert right.track_id == "topicA-3-0-1" and right.box_xyxy[0] < 200


@pytest.mark.parametrize("fps", [5.0, 12.0, 30.0])
def test_occlusion_shorter_than_patience_keeps_the_id(fps: float) -> None:
    """A walker passes behind a pillar for 0.8 s, comes out where the speed says, and is looked at again."""
    film = Film()
    film.play(fps, 1.2, lambda now: (100 + 100 * now, 100))
    film.play(fps, 0.8, lambda now: None, start=1.2)
    (update,) = film.show(2.0, [(300, 100)])
    assert update.track_id == "topicA-3-0-0" and update.ambiguous


def test_another_size_is_another_person() -> None:
    """A face twice as large in the same place, one frame later, isn't the same head."""
    film = Film()
    film.play(12, 0.5, lambda now: (100, 100))
    updates = film.show(0.5, [(100, 100, 0.9, 100.0)])
    assert [update.face_index for update in updates] == [-1, 0]


@pytest.mark.parametrize("fps", [5.0, 12.0, 30.0])
def test_somebody_who_comes_closer_stays_one_track(fps: float) -> None:
    """From 30 to 120 pixels in three seconds."""
    film = Film()
    film.play(fps, 3.0, lambda now: (100 + 20 * now, 100, 0.9, 30 * 4 ** (now / 3)))
    assert film.ids() == ["topicA-3-0-0"]


def test_people_side_by_side_are_not_ambiguous() -> None:
    """Two faces two sizes apart that hardly move: nothing to look at again."""
    film = Film()
    film.play(12, 1.0, lambda now: (100, 100), lambda now: (180, 100))
    assert [(update.hits, update.ambiguous) for update in film.updates] == [(12, False), (12, False)]


def test_split_goes_on_under_a_new_id() -> None:
    """The old id ends, the new one begins at this frame with the same motion, and no newborn has its name."""
    film = Film()
    film.play(10, 0.5, lambda now: (100, 100))
    updates = film.show(0.5, [(300, 100), (100, 100)])  # somebody is born here as face 0
    ref = frame_ref(5, 0.5)
    state, end, new_id = split(film.state, "topicA-3-0-0", ref)
    assert end == TrackEnd("topicA-3-0-0", "track_split", ref.capture_time_us)
    assert new_id == "topicA-3-5-1" and new_id not in [update.track_id for update in updates]
    film.state = state
    first, second = film.show(0.6, [(100, 100), (300, 100)])
    assert (first.track_id, first.hits, first.first_seen_us) == (new_id, 2, ref.capture_time_us)
    assert second.track_id == "topicA-3-5-0"


def test_split_refuses_what_could_make_two_tracks_of_one_name() -> None:
    """Unknown, unseen in this frame, born in this frame, or split already."""
    film = Film()
    film.show(0.0, [(100, 100), (300, 100)])
    film.show(0.1, [(100, 100), (500, 100)])
    ref = frame_ref(1, 0.1)
    for track_id in ("nobody", "topicA-3-0-1", "topicA-3-1-1"):
        with pytest.raises(ValueError, match="split"):
            split(film.state, track_id, ref)
    state, _, new_id = split(film.state, "topicA-3-0-0", ref)
    with pytest.raises(ValueError, match="split"):
        split(state, new_id, ref)


def test_open_tracks_are_bounded() -> None:
    """With three open, further faces are refused and counted, best first stay; open ones go on."""
    film = Film(TrackOptions(max_tracks=3))
    crowd: list[Point] = [(100.0 * n, 100) for n in range(1, 6)]
    assert len(film.show(0.0, crowd)) == 3 and film.num_refused == 2
    updates = film.show(0.1, crowd)
    assert [update.hits for update in updates] == [2, 2, 2] and film.num_refused == 4


def test_empty_frames_cost_nothing() -> None:
    """No faces, no tracks: no updates, no ends, and the time goes on."""
    film = Film()
    assert film.show(0.0, []) == () and film.show(0.1, []) == ()
    assert film.state == TrackerState((), START_US + 100_000) and not film.ends and film.num_refused == 0


@pytest.mark.parametrize("box", [(np.nan,) * 4, (0, 0, np.inf, 10), (50, 50, 50, 90), (90, 90, 50, 50)])
def test_boxes_without_sense_are_ignored(box: tuple[float, ...]) -> None:
    """Not finite, or without area: neither born nor assigned, and a track beside them isn't harmed."""
    film = Film()
    film.show(0.0, [(60, 60)])
    good = faces_at([(60, 60)])
    faces = Faces(
        np.concatenate([np.array([box], np.float32), good.boxes_xyxy]),
        np.zeros((2, 5, 2), np.float32),
        np.array([0.99, 0.9], np.float32),
    )
    _, updates, _, refused = track(film.state, faces, frame_ref(1, 0.1), OPTIONS)
    assert [(update.face_index, update.hits) for update in updates] == [(1, 2)] and refused == 0


def test_a_late_frame_is_refused() -> None:
    """The stage before drops late frames; one that comes through is a mistake with a name."""
    film = Film()
    film.show(0.1, [(100, 100)])
    for seconds in (0.1, 0.0):
        with pytest.raises(ValueError, match="drop late frames"):
            film.show(seconds, [(100, 100)])


def test_a_snapshot_changes_nothing() -> None:
    """Through msgpack after every frame or never: the same updates, bit for bit; and a track takes little room."""
    rng = np.random.default_rng(7)
    plain, restored = Film(), Film()
    for number in range(40):
        now = number / 9
        points: list[Point] = [
            (100 + 60 * now + rng.normal(0, 2), 100 + rng.normal(0, 2)),
            (500 - 70 * now + rng.normal(0, 2), 110 + rng.normal(0, 2), 0.5 if number % 5 == 1 else 0.9),
        ][: 1 + (number % 7 != 3)]
        packed = msgspec.msgpack.encode(restored.state)
        restored.state = msgspec.msgpack.decode(packed, type=TrackerState)
        assert plain.show(now, points) == restored.show(now, points)
        assert len(packed) < 64 + 300 * len(restored.state.tracks)
    assert plain.state == restored.state and len(plain.state.tracks) == 2


def test_cameras_share_nothing() -> None:
    """Frames of two cameras in turn give what each gives alone: no counter outlives a call."""
    alone, first, second = Film(), Film(), Film()
    for number in range(12):
        points: list[Point] = [(100 + 5 * number, 100), (300 - 5 * number, 100)]
        second.show(number / 10, [(50, 50)])
        assert alone.show(number / 10, points) == first.show(number / 10, points)


def test_assignment_is_exact() -> None:
    """Against every possible assignment of up to four tracks and faces, with pairs outside the gate."""
    rng, gate = np.random.default_rng(3), 18.0
    for _ in range(300):
        rows, columns = int(rng.integers(1, 5)), int(rng.integers(0, 5))
        costs = np.where(rng.random((rows, columns)) < 0.3, np.inf, rng.uniform(0, 25, (rows, columns)))
        pairs = _assign(costs, gate)
        total = sum(costs[pair] for pair in pairs) + gate * (rows - len(pairs))
        assert total == pytest.approx(_cheapest(costs, gate))
        assert len({column for _, column in pairs}) == len({row for row, _ in pairs}) == len(pairs)


def _cheapest(costs: np.ndarray, gate: float) -> float:
    """By brute force: -1 leaves a row alone."""
    rows, columns = costs.shape
    best = np.inf
    for choice in itertools.product(range(-1, columns), repeat=rows):
        taken = [column for column in choice if column >= 0]
        if len(set(taken)) == len(taken):
            best = min(best, sum(gate if c < 0 else costs[r, c] for r, c in enumerate(choice)))
    return float(best)


def test_a_track_lost_long_ago_does_not_take_the_face_of_one_seen_now() -> None:
    """Its prediction is so unsure that any face fits it well; the sure track comes first, though it moved a little."""
    film = Film()
    film.play(10, 1.0, lambda now: (100, 100), lambda now: (190, 100))
    film.play(10, 1.0, lambda now: (190, 100), start=1.0)
    updates = film.show(2.0, [(204, 100)])
    assert [(u.track_id, u.face_index) for u in updates] == [("topicA-3-0-0", -1), ("topicA-3-0-1", 0)]


def test_a_lost_track_does_not_take_a_face_far_away() -> None:
    """However unsure the prediction after a second: a face six sizes off is somebody else."""
    film = Film()
    film.play(10, 1.0, lambda now: (100, 100))
    updates = film.show(2.0, [(340, 100)])
    assert [(u.track_id, u.face_index) for u in updates] == [("topicA-3-0-0", -1), ("topicA-3-10-0", 0)]


def test_max_tracks_does_not_break_running_tracks() -> None:
    """A lower bound than tracks open (settings changed over a restart) closes nobody and admits nobody."""
    film = Film()
    film.show(0.0, [(100, 100), (300, 100)])
    film.options = replace(OPTIONS, max_tracks=1)
    assert [u.hits for u in film.show(0.1, [(100, 100), (300, 100), (500, 100)])] == [2, 2]
    assert film.num_refused == 1
