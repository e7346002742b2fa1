"""Settings: where they come from, what goes before what, and one line for each thing that is wrong."""

import os
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from worker.errors import InvalidSettings
from worker.settings import PREFIX, Settings, load_settings, shown


@pytest.fixture
def file(tmp_path: Path):
    """Writes a settings file."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "faceline.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refusal(config: Path | None = None) -> str:
    """The message of what is refused."""
    with pytest.raises(InvalidSettings) as caught:
        load_settings(config)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_no_setting_leaks_in() -> None:
    """The tests run without the developer's settings."""
    of_tests = {"FACELINE_TEST_DATA", "FACELINE_TEST_REQUIRE"}
    assert [name for name in os.environ if name.upper().startswith(PREFIX) and name not in of_tests] == []


def test_defaults_need_nothing() -> None:
    """No file, no environment."""
    assert load_settings() == Settings()


def test_precedence(file, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line before environment before file before default, setting by setting within one group."""
    path = file(
        "detect: {max_faces: 1, min_score: 0.1, nms_iou: 0.1}\ngallery: {purpose: file, tenant: file, dir: file}"
    )
    monkeypatch.setenv("FACELINE_DETECT__MIN_SCORE", "0.2")
    monkeypatch.setenv("FACELINE_GALLERY__PURPOSE", "env")
    monkeypatch.setenv("FACELINE_GALLERY__DIR", "env")
    found = load_settings(path, {"gallery.dir": Path("line")})
    assert (found.detect.max_faces, found.detect.min_score, found.detect.nms_iou) == (1, 0.2, 0.1)
    assert found.detect.max_side_pixels == Settings().detect.max_side_pixels
    assert (found.gallery.tenant, found.gallery.purpose, found.gallery.dir) == ("file", "env", Path("line"))


def test_the_file_by_environment(file, monkeypatch: pytest.MonkeyPatch) -> None:
    """FACELINE_CONFIG names it; --config goes before."""
    monkeypatch.setenv("FACELINE_CONFIG", str(file("detect: {max_faces: 7}")))
    assert load_settings().detect.max_faces == 7
    other = Path(os.environ["FACELINE_CONFIG"]).with_name("other.yaml")
    other.write_text("detect: {max_faces: 8}")
    assert load_settings(other).detect.max_faces == 8


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}"])
def test_an_empty_file_is_no_error(file, text: str) -> None:
    """Everything commented out."""
    assert load_settings(file(text)) == Settings()


GROUPS = (
    "admit, decide, decode, detect, encryption, engine, enrol, gallery, http, identify, kafka, log, models, sample, "
    "service, topics, tracing, track"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detekt: {}", f"setting detekt ({{path}}) doesn't exist: expected one of {GROUPS}"),
        ("_env_file: /etc/passwd", f"setting _env_file ({{path}}) doesn't exist: expected one of {GROUPS}"),
        (
            "detect: {min_scoer: 1}",
            "setting detect.min_scoer ({path}) doesn't exist: expected one of max_faces, max_side_pixels, min_score, "
            "nms_iou",
        ),
        (
            "gallery: {tennant: x}",
            "setting gallery.tennant ({path}) doesn't exist: expected one of dir, fpir, purpose, tenant, "
            "tentative_fpir",
        ),
        ("detect: {min_score: abc}", "setting detect.min_score ({path}) is 'abc': Input should be a valid number"),
        (
            "detect: {min_score: 1.5}",
            "setting detect.min_score ({path}) is 1.5: Input should be less than or equal to 1",
        ),
        ("detect: {max_faces: 2.5}", "setting detect.max_faces ({path}) is 2.5: Input should be a valid integer"),
        ("detect: 5", "setting detect ({path}) is 5: Input should be a dictionary"),
        ("gallery: {fpir: 0}", "setting gallery.fpir ({path}) is 0: Input should be greater than 0"),
        ("gallery: {fpir: 0.2}", "tentative_fpir 0.03 is less than fpir 0.2: a tentative name would be harder to get"),
        (
            "topics: {events: camera.frames}",
            "settings ({path}) don't fit together: Value error, frames, events, dead_letters, state",
        ),
        ("identify: {num_candidates: 1}", "setting identify.num_candidates ({path}) is 1: Input should be greater"),
        ("service: {application_id: 'a b'}", "setting service.application_id ({path}) is 'a b': String should match"),
        ("- detect", "settings file {path} holds no groups: expected lines such as 'detect:'"),
        ("detect", "settings file {path} holds no groups: expected lines such as 'detect:'"),
        ("1: 2", "settings file {path} holds no groups: expected lines such as 'detect:'"),
        ("a: [", "settings file {path} can't be read: while parsing a flow node"),
        ("a: !!python/object/apply:os.system [id]", "settings file {path} can't be read: could not determine"),
        (b"\xff\xfe\x00", "settings file {path} can't be read: "),
    ],
)
def test_a_wrong_file_is_one_line_with_the_cure(file, text: str | bytes, message: str) -> None:
    """Which setting, in which file, what it is, and what is expected."""
    path = file(text)
    told = refusal(path)
    assert message.format(path=path) in told
    assert "\n" not in told


def test_every_mistake_has_its_line(file) -> None:
    """All at once, not one a run."""
    told = refusal(file("detect: {min_score: 7, max_faces: 0}\ntrack: {gait: 1}"))
    assert [line.split()[1] for line in told.splitlines()] == [
        "detect.min_score",
        "detect.max_faces",
        "track.gait",
    ] or ({line.split()[1] for line in told.splitlines()} == {"detect.min_score", "detect.max_faces", "track.gait"})


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    """Named, with the cure."""
    assert refusal(tmp_path / "no.yaml") == (
        f"settings file {tmp_path / 'no.yaml'} doesn't exist: create it, or drop --config"
    )
    assert refusal(tmp_path).startswith(f"settings file {tmp_path} can't be read: ")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "FACELINE_DETEKT__MIN_SCORE",
            "1",
            "environment variable FACELINE_DETEKT__MIN_SCORE is no setting: groups are",
        ),
        ("FACELINE_DETECT_MIN_SCORE", "1", "environment variable FACELINE_DETECT_MIN_SCORE is no setting: groups are"),
        ("FACELINE_", "1", "environment variable FACELINE_ is no setting: groups are"),
        ("FACELINE_DETECT__MIN_SCOER", "1", "setting detect.min_scoer doesn't exist: expected one of max_faces,"),
        ("FACELINE_DETECT__MIN_SCORE", "abc", "setting detect.min_score is 'abc': Input should be a valid number"),
        ("FACELINE_DETECT__MAX_FACES", "", "setting detect.max_faces is '': Input should be a valid integer"),
        ("FACELINE_DETECT", "garbage", "write single settings as FACELINE_GROUP__NAME, or a whole group as a JSON"),
        ("FACELINE_DETECT", "[1]", "setting detect is [1]: Input should be a dictionary"),
    ],
)
def test_a_wrong_variable_is_one_line_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """A typo in a variable's name doesn't pass for a default."""
    monkeypatch.setenv(name, value)
    told = refusal()
    assert message in told
    assert "\n" not in told


@pytest.mark.parametrize("name", ["FACELINE_DETECT__MAX_FACES", "faceline_detect__max_faces"])
def test_a_good_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In capitals or not."""
    monkeypatch.setenv(name, "5")
    assert load_settings().detect.max_faces == 5


def test_shown_is_read_back(file) -> None:
    """What is printed is a settings file that means the same."""
    settings = load_settings(
        file("detect: {max_faces: 3}\nmodels: {recognizer_dir: /somewhere}\ngallery: {fpir: 0.002}")
    )
    assert load_settings(file(yaml.safe_dump(shown(settings)))) == settings


def test_settings_are_frozen() -> None:
    """Nobody changes them on the way."""
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.detect = settings.detect  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.gallery.fpir = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "decisive"),
    [
        ("gallery: {dir: /elsewhere}", False),  # where people lie decides nothing
        ("models: {dir: /elsewhere}", False),  # models have digests of their own
        ("topics: {events: other}", False),
        ("service: {batch_frames: 1}", False),  # the promise: batching decides nothing
        ("engine: {cache_dir: /elsewhere, device: 1, max_graphs: 0, fixed_batches: false}", False),
        ("gallery: {fpir: 0.002}", True),
        ("gallery: {tenant: shop-7}", True),
        ("admit: {silence_seconds: 99}", True),
        ("detect: {min_score: 0.41}", True),
        ("track: {lost_seconds: 9}", True),
        ("sample: {open_interval_seconds: 1}", True),
        ("identify: {enrolled_share: 0.4}", True),
        ("decide: {report_candidates: true}", True),
        ("decode: {max_pixels: 1000}", True),
        ("engine: {precision: fp16}", True),
        ("engine: {cache_dir: /elsewhere}", False),
        ("engine: {max_faces: 32}", False),
    ],
)
def test_the_digest_names_what_decides(file, text: str, decisive: bool) -> None:
    """Ids of events change with every setting that could change an event, and with no other."""
    assert (load_settings(file(text)).digest() != Settings().digest()) is decisive


def test_importing_reads_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Folders follow the environment of the call."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = load_settings()
    assert found.models.dir == tmp_path / "faceline" / "models"
    assert found.gallery.dir == tmp_path / "data" / "faceline" / "gallery"


@pytest.mark.parametrize("group", ["OPTIONS", "CONSUMER_OPTIONS", "PRODUCER_OPTIONS"])
def test_no_password_hides_among_the_clients_options(monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    """They are printed as they are; the cure names the setting that is masked, and the value isn't repeated."""
    monkeypatch.setenv(f"FACELINE_KAFKA__{group}", '{"sasl_plain_password": "s3cret"}')
    told = refusal()
    assert f"kafka.{group.lower()}" in told and "sasl_plain_password would be shown in the clear" in told
    assert "kafka.sasl_password_file" in told and "s3cret" not in told
