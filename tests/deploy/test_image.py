"""The image as it is: built from the Dockerfile, run under a strict security context, on a real broker."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.deploy.container import KEYS, SETTINGS, Container, command, configured
from tests.deploy.image import BASE, CPU, Store
from tests.deploy.test_locks import pins
from tests.deploy.tools import ROOT, NoTool
from tests.end_to_end.on_kafka import Site, now_us
from tests.required import missing
from worker import __version__
from worker.demo import scene
from worker.sealing import MAGIC, open_sealer
from worker.settings import EncryptionSettings, Settings

# All of it with the broker's tests, though one talks to it: the image is built once, in one of the suite's two runs.
pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.models, pytest.mark.kafka]
NUM_FRAMES = 12


@pytest.fixture(scope="module")
def published(original_models: dict[str, Path]) -> Path:
    """The folder of the models as they were published, so that the build fetches none."""
    return next(iter(original_models.values())).parent


@pytest.fixture(scope="module")
def store(published: Path, helm: Path) -> Iterator[Store]:
    """With the image in it."""
    try:
        store = Store()
    except NoTool as reason:
        missing("image", f"no image: {reason}")
    try:
        store.base()
        built = store.build("cpu", CPU, published, REVISION="0123abc")
        assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
        yield store
    except NoTool as reason:
        missing("image", f"no image: {reason}")
    finally:
        store.close()


@pytest.fixture(scope="module")
def root(store: Store) -> Path:
    """The image's files."""
    return Path(store.podman("image", "mount", CPU).stdout.strip())


def test_a_worker_under_a_strict_security_context(store: Store, kafka: Settings, tmp_path: Path) -> None:
    """As the chart has it: topics by a Job, a key, frames in, events out, probes, a check, SIGTERM: drained, code 0."""
    options = configured(kafka, tmp_path)
    made = command(store, CPU, options, "topics", "create", "--partitions", "1")
    assert made.returncode == 0, made.stderr
    site = Site(kafka)
    with Container(store, CPU, kafka, tmp_path) as worker:
        worker.until_ready()
        start_us = now_us()
        frames = islice(scene.car_frames(), NUM_FRAMES)
        site.produce([site.frame(b"car", f.value, start_us + f.since_start_us // 1000 * 1000) for f in frames])
        worker.until_frames(NUM_FRAMES)
        assert worker.get("/livez")[0] == worker.get("/readyz")[0] == worker.get("/startupz")[0] == 200
        assert worker.run("faceline", "probe", "startupz").returncode == 0
        assert worker.health_check() == 0
        status = dict(line.split(":\t", 1) for line in worker.run("cat", "/proc/1/status").stdout.splitlines())
        assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
        assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
        assert worker.run("cat", "/proc/1/cmdline").stdout.split("\0")[1:] == ["/opt/faceline/bin/faceline", "run", ""]
        assert status["Groups"].split() == ["10001"] and status["Seccomp"] == "2"
        assert "Read-only file system" in worker.run("sh", "-c", "echo > /opt/faceline/x").stderr
        assert worker.run("sh", "-c", "echo > /tmp/x && echo > /var/cache/faceline/engines/x").returncode == 0
        assert worker.run("stat", "-c", "%a %u %g", f"{SETTINGS}/{KEYS}").stdout.split() == ["440", "0", "10001"]
        checked = command(store, CPU, options, "doctor")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert worker.end() == 0
    assert worker.lines(message="stopped")
    assert worker.tracebacks() == []
    sealed = site.states()[0, b""] or b""
    key_id = open_sealer(EncryptionSettings(key_file=tmp_path / "settings" / KEYS)).key_ids[0]
    assert sealed.startswith(MAGIC + bytes.fromhex(key_id))
    assert {event["kind"] for event in site.events()} >= {"appeared"}


def test_the_image_says_what_it_is(store: Store) -> None:
    """To whoever inspects it, and to orchestrators."""
    (found,) = json.loads(store.podman("image", "inspect", CPU).stdout)
    config = found["Config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == ("10001:10001", ["faceline"], ["run"])
    assert list(config["ExposedPorts"]) == ["9464/tcp"]
    assert found["Healthcheck"]["Test"] == ["CMD", "faceline", "probe", "livez"]
    assert config["Labels"]["org.opencontainers.image.revision"] == "0123abc"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    said = store.podman("run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", CPU, "--version")
    assert said.stdout == f"faceline {__version__}\n"


def test_what_is_in_it(root: Path) -> None:
    """The packages of the lock and no other, compiled, and the models; no compiler, cache or trace of its making."""
    (packages,) = root.glob("opt/faceline/lib/python3.*/site-packages")
    folders = [path.name.removesuffix(".dist-info") for path in packages.glob("*.dist-info")]
    installed = {
        name.replace("_", "-").replace(".", "-").lower(): version
        for name, _, version in (f.rpartition("-") for f in folders)
    }
    assert installed == {"faceline": __version__, **{name: next(iter(v)) for name, v in pins("serve").items()}}
    assert list((packages / "worker" / "__pycache__").glob("settings.*.pyc"))
    assert {path.suffix for path in (root / "opt/faceline/models").iterdir()} == {".onnx", ".sha256"}
    programs = {path.name for folder in ("usr/bin", "usr/local/bin") for path in (root / folder).iterdir()}
    assert "python3" in programs
    assert not programs & {"cc", "gcc", "g++", "ld", "make", "git", "curl", "wget"}
    for path in ("root/.cache", "src", "wheels", "etc/pip.conf", "run/secrets", "published"):
        assert not (root / path).exists(), path


def test_its_size_is_the_documented_one(store: Store) -> None:
    """What it adds to its base, within a tenth."""
    added_mb = (store.size_bytes(CPU) - store.size_bytes(BASE)) / 1e6
    stated = re.search(r"adds (\d+) MB to its base", (ROOT / "docs" / "image.md").read_text())
    assert stated is not None
    assert added_mb == pytest.approx(float(stated[1]), rel=0.1)


def test_models_can_be_mounted(store: Store, published: Path, tmp_path: Path) -> None:
    """Built without them, their folder is empty; what is missing is said, and a volume in its place has them."""
    image, place = "localhost/faceline:models", "opt/faceline/models"
    built = store.build("models", image, MODELS="mounted")
    assert built.returncode == 0, built.stderr[-3000:]
    assert list((Path(store.podman("image", "mount", image).stdout.strip()) / place).iterdir()) == []
    empty = tmp_path / "empty"
    empty.mkdir()
    without = command(store, CPU, ("--volume", f"{empty}:/{place}:ro"), "doctor")
    assert without.returncode == 1 and f"is not in /{place}" in without.stdout
    mounted = command(store, CPU, ("--volume", f"{published}:/{place}:ro"), "doctor")
    assert mounted.returncode == 0, mounted.stdout


def test_a_choice_that_isnt_one(store: Store) -> None:
    """A typo in MODELS builds nothing."""
    built = store.build("models", "localhost/faceline:typo", MODELS="mount")
    assert built.returncode != 0
    assert "MODELS is mount: expected baked or mounted" in built.stdout + built.stderr


def test_a_gpu_base_without_tensorrt_is_refused(store: Store) -> None:
    """What the GPU's image installs goes over the base at hand too; then TensorRT is missed, and nothing else."""
    built = store.build("gpu", "localhost/faceline:gpu")
    assert built.returncode != 0
    assert "No module named 'tensorrt'" in built.stdout + built.stderr
