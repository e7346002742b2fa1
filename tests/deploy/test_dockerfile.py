"""What the Dockerfile says, without building it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import dockerfile
from worker import __version__
from worker.settings import HttpSettings, load_settings

ROOT = Path(__file__).parents[2]
SERVED = {stage.name: stage for stage in dockerfile.stages() if stage.name in ("cpu", "gpu")}
both = pytest.mark.parametrize("stage", SERVED.values(), ids=SERVED)


def test_hadolint_has_nothing_to_say() -> None:
    """The linter, with ShellCheck in it; a bad file is shown to it first."""
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint isn't installed: make install")
    bad = subprocess.run([linter, "-"], input="FROM python:latest\nCMD faceline run\n", capture_output=True, text=True)
    assert bad.returncode == 1 and "DL3007" in bad.stdout and "DL3025" in bad.stdout
    done = subprocess.run([linter, dockerfile.PATH], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_cpu_is_the_default() -> None:
    """Whoever names no target gets the last stage."""
    assert dockerfile.stages()[-1].name == "cpu"
    assert list(SERVED) == ["gpu", "cpu"]


@pytest.mark.parametrize("name", ["BASE_IMAGE", "GPU_BASE_IMAGE"])
def test_bases_are_pinned(name: str) -> None:
    """By a tag with numbers, from a registry that is named."""
    base = dockerfile.arguments()[name]
    repository, _, tag = base.rpartition(":")
    assert "." in repository.split("/")[0], "no registry is named"
    assert re.search(r"\d+\.\d+", tag), f"{tag!r} moves"


@both
def test_stages_come_from_the_pinned_bases(stage: dockerfile.Stage) -> None:
    """And what was installed over a base is copied onto the same one: its Python is the base's."""
    assert stage.base == {"cpu": "${BASE_IMAGE}", "gpu": "${GPU_BASE_IMAGE}"}[stage.name]
    builds = {built.name: built.base for built in dockerfile.stages()}
    assert f"--from=build-{stage.name} /opt/faceline /opt/faceline" in stage.all("COPY")
    assert builds[f"build-{stage.name}"] == stage.base


def test_both_are_made_alike() -> None:
    """The GPU's image can't be finished everywhere; but for base, folder and description it is the CPU's, which is."""
    own = re.compile(r'image\.description="[^"]*"|--from=build-(cpu|gpu)')
    cpu, gpu = ([(word, own.sub("", text)) for word, text in SERVED[name].instructions] for name in ("cpu", "gpu"))
    assert cpu == gpu


@both
def test_nobody_is_root(stage: dockerfile.Stage) -> None:
    """By number, so that Kubernetes can see it."""
    assert stage.one("USER") == "10001:10001"


@both
def test_python_is_pid_1(stage: dockerfile.Stage) -> None:
    """Exec form: no shell stands between the orchestrator's signal and the worker."""
    assert stage.words("ENTRYPOINT") == ["faceline"]
    assert stage.words("CMD") == ["run"]
    assert stage.one("STOPSIGNAL") == "SIGTERM"


@both
def test_a_health_check_by_the_workers_own_command(stage: dockerfile.Stage) -> None:
    """Exec form; whether the loop turns, since restarting a worker that waits cures nothing."""
    options, _, words = stage.one("HEALTHCHECK").partition(" CMD ")
    assert words == '["faceline", "probe", "livez"]'
    assert {option.split("=")[0] for option in options.split()} == {"--interval", "--timeout", "--start-period"}


@both
def test_the_port_is_the_settings(stage: dockerfile.Stage) -> None:
    """Where probes and Prometheus ask."""
    assert stage.one("EXPOSE") == str(HttpSettings().port)


@both
def test_variables_reach_settings(stage: dockerfile.Stage, tmp_path: Path) -> None:
    """Every FACELINE_ variable names a setting, and the folders are those that volumes are mounted on."""
    variables = dict(word.split("=", 1) for word in stage.one("ENV").split())
    assert variables.pop("FACELINE_CONFIG") == "/etc/faceline/faceline.yaml"
    given = {name: value for name, value in variables.items() if name.startswith("FACELINE_")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        settings = load_settings()
    assert str(settings.models.dir) == "/opt/faceline/models"
    assert str(settings.engine.cache_dir) == "/var/cache/faceline/engines"
    assert variables["HOME"] == "/tmp", "the user has no home, and may write to /tmp alone"


@both
def test_labels(stage: dockerfile.Stage) -> None:
    """What the Open Container Initiative wants to know; the version is the package's."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', stage.one("LABEL")))
    assert {"title", "description", "version", "revision", "licenses", "source", "documentation"} <= set(labels)
    assert labels["version"] == "${VERSION}" and labels["revision"] == "${REVISION}"
    assert labels["licenses"] == "Apache-2.0"
    assert f"VERSION={__version__}" in stage.all("ARG")


@both
def test_what_is_served_installs_nothing(stage: dockerfile.Stage) -> None:
    """No package manager runs in a last stage, so none leaves its cache or its tools there."""
    assert not re.search(r"\b(apt|apt-get|pip|uv|curl|wget)\b", " ".join(stage.all("RUN")))


def test_installs_are_by_hash() -> None:
    """From a lock, or without an index at all."""
    installs = [
        command
        for stage in dockerfile.stages()
        for text in stage.all("RUN")
        for command in text.split("&&")
        if " install " in command
    ]
    assert len(installs) == 5
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command, command


def test_no_heredoc_and_nothing_that_moves() -> None:
    """Builders of 2022 can't read heredocs; a tag called latest is another image tomorrow."""
    text = dockerfile.PATH.read_text()
    assert "<<" not in text
    assert "latest" not in text


def test_nothing_but_the_needed_is_sent_to_the_builder() -> None:
    """Everything copied from the context is let in, and everything else is kept out."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]
    copied = [
        source
        for stage in dockerfile.stages()
        for text in stage.all("COPY")
        if not text.startswith("--from")
        for source in text.split()[:-1]
    ]
    assert {source.replace(Path(source).stem, "*") if "/" in source else source for source in copied} == set(let_in)
    assert all((ROOT / source).exists() for source in copied)


def test_arguments_are_documented() -> None:
    """Each with its default, as docs/image.md has it."""
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \| (.+?) \|", (ROOT / "docs" / "image.md").read_text(), re.MULTILINE)
    told = {name: default for names, default in rows for name in re.findall(r"\w+", names)}
    declared = {text.partition("=")[0] for stage in dockerfile.stages() for text in stage.all("ARG")}
    assert set(told) == {*declared, *dockerfile.arguments()}
    for name, default in dockerfile.arguments().items():
        assert told[name] == f"`{default.removeprefix('docker.io/library/')}`"
