"""What all tests share: the prepared models, the data that is not shipped, and a clean environment.

A test that asks for ``detector``, ``embedder`` or ``loaded`` is marked ``models``. What is skipped is counted by reason
in the run's last lines.
"""

import os
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from kafka import cluster
from kafka.net import compat, connection, manager

from tests.broker.cluster import Broker, NoBroker
from tests.deploy import tools
from tests.required import REQUIRE, missing, required
from worker.assemble import Loaded, open_models
from worker.engines.engine import Engine
from worker.engines.models import load_recognizer, manifests, original_path
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import ModelError
from worker.settings import PREFIX, KafkaSettings, ServiceSettings, Settings, TopicSettings, load_settings

pytest.register_assert_rewrite("tests.engines.contract", "tests.transport.contract")

TEST_DATA = "FACELINE_TEST_DATA"
NEED_MODELS = {"detector", "embedder", "loaded", "original_models"}


def pytest_configure(config: pytest.Config) -> None:
    """One thread, no setting of the developer's own, no GPU but for the tests of it: before anything is collected."""
    required()
    # The client's threads draw from the global generator, which Hypothesis watches while it draws from its own.
    for module in (cluster, compat, connection, manager):
        module.random = random.Random()
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # torch's threads would wait for each other, and spin: most of its tests' time
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    for name in [name for name in os.environ if name.upper().startswith(PREFIX) and name not in (TEST_DATA, REQUIRE)]:
        del os.environ[name]
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a published model needs it, and whoever asks for Kafka talks to a real broker."""
    for item in items:
        if NEED_MODELS & set(getattr(item, "fixturenames", ())):
            item.add_marker("models")
        if {"kafka", "kafka_settings", "secure"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Skipped, loudly counted."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
    if reasons:
        terminalreporter.section(f"{reasons.total()} skipped")
        for reason, number in reasons.most_common():
            terminalreporter.line(f"{number:5d}  {reason}")


@pytest.fixture(scope="session", autouse=True)
def _no_gallery_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The default gallery is an empty folder of this run, so that no test reads or deletes real people."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data_home")))
        yield


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real people and real bad bytes; not shipped."""
    folder = os.environ.get(TEST_DATA)
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"{TEST_DATA} names no folder: the shared test data are not shipped")
    return Path(folder)


@pytest.fixture(scope="session")
def kafka_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """How to reach a real broker: the one that the environment names, or one that is started for this run."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        names = ("security_protocol", "sasl_mechanism", "sasl_username", "sasl_password", "ssl_cafile")
        given = {name: os.environ[f"KAFKA_{name.upper()}"] for name in names if f"KAFKA_{name.upper()}" in os.environ}
        yield KafkaSettings.model_validate({"bootstrap_servers": servers, **given})
        return
    broker = Broker(tmp_path_factory.mktemp("kafka") / "broker")
    try:
        broker.start()
    except NoBroker as reason:
        missing("kafka", f"no Kafka: {reason}")
    yield broker.settings()
    broker.stop()


@pytest.fixture
def kafka(kafka_settings: KafkaSettings) -> Settings:
    """Settings with a real broker and an application of one's own: topics, group and ids share with nobody."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    return Settings(
        kafka=kafka_settings,
        service=ServiceSettings(application_id=name),
        topics=TopicSettings(frames=f"{name}.camera.frames"),
    )


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' checker of rules and metrics."""
    try:
        return tools.promtool()
    except tools.NoTool as reason:
        missing("prometheus", str(reason))


@pytest.fixture(scope="session")
def default_settings() -> Settings:
    """Settings with nothing set."""
    return load_settings()


@pytest.fixture(scope="session")
def loaded(default_settings: Settings) -> Iterator[Loaded]:
    """All models, as a worker with default settings opens them."""
    try:
        opened = open_models(default_settings)
    except ModelError as error:
        pytest.skip(_without_folder(error, default_settings))
    yield opened
    for engine in (opened.models.detector, opened.models.embedder, opened.models.recognizer, opened.enrol):
        engine.close()


@pytest.fixture(scope="session")
def detector(loaded: Loaded) -> Engine:
    """YuNet, prepared."""
    return loaded.models.detector


@pytest.fixture(scope="session")
def embedder(loaded: Loaded) -> Engine:
    """SFace, prepared."""
    return loaded.models.embedder


@pytest.fixture(scope="session")
def recognizer() -> Iterator[Engine]:
    """The shipped recurrent network; in the package, so never missing."""
    with OnnxRuntimeEngine(load_recognizer().recognizer) as engine:
        yield engine


@pytest.fixture(scope="session")
def enrol() -> Iterator[Engine]:
    """The shipped recognizer's gallery side: raw embeddings to templates and heads."""
    with OnnxRuntimeEngine(load_recognizer().enrol) as engine:
        yield engine


@pytest.fixture(scope="session")
def original_models(default_settings: Settings) -> dict[str, Path]:
    """The published files as they came, by name: the references."""
    cache = default_settings.models.dir
    paths = {name: original_path(manifest, cache) for name, manifest in manifests().items()}
    if missing := [path.name for path in paths.values() if not path.exists()]:
        pytest.skip(f"{', '.join(missing)} not in the cache: run 'faceline models pull'")
    return paths


def _without_folder(error: ModelError, settings: Settings) -> str:
    return str(error).replace(str(settings.models.dir), "the cache")
