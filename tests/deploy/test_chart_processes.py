"""The rendered pods run as processes on a real broker: settings and secrets arrive, probes answer, SIGTERM drains."""

from pathlib import Path
from typing import Any

import pytest

from tests.broker.cluster import free_ports
from tests.broker.secure import MECHANISM, PASSWORD, SecureBroker
from tests.deploy.chart import Rendered, merged, render
from tests.deploy.pod import Pod, Secrets, Waiting, keys
from tests.kafka.conftest import APPLICATION, secure
from worker.settings import Settings
from worker.transport import topics
from worker.transport.inquiry import group

__all__ = ["secure"]  # a fixture of theirs

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.usefixtures("helm", "loaded")]


@pytest.fixture
def models(default_settings: Settings) -> Path:
    """The folder that stands for the image's."""
    return default_settings.models.dir


def values_of(settings: Settings, **more: Any) -> dict[str, Any]:
    """Values by which workers come to this broker and application, on a free port."""
    config = {
        "kafka": {
            "bootstrap_servers": settings.kafka.bootstrap_servers,
            "security_protocol": settings.kafka.security_protocol,
            "request_timeout_seconds": 5,
        },
        "service": {"application_id": settings.service.application_id},
        "topics": {"frames": settings.topics.frames},
        "http": {"port": free_ports(1)[0]},
    }
    return merged({"config": config, "topics": {"partitions": 2}, "podDisruptionBudget": {"enabled": False}}, more)


def of_a_user(broker: SecureBroker) -> tuple[dict[str, Any], Secrets]:
    """Values and secrets of users on a broker with TLS, users and least rights."""
    kafka = {"sasl_mechanism": MECHANISM, "sasl_username": "worker"}
    own = APPLICATION.model_copy(update={"kafka": broker.settings_of("worker")})
    values = values_of(
        own,
        config={"kafka": kafka},
        secrets={
            "kafkaPassword": {"name": "worker"},
            "kafkaAuthority": {"name": "authority"},
            "galleryKey": {"name": "gallery"},
        },
        admin={"username": "administrator", "kafkaPassword": {"name": "administrator", "key": "pw"}},
    )
    authority = broker.authority.read_text()
    secrets = {
        "worker": {"password": PASSWORD},
        "administrator": {"pw": PASSWORD},
        "authority": {"ca.crt": authority},
        "gallery": {"key": keys()},
    }
    return values, secrets


def test_a_worker_with_tls_and_a_user(secure: SecureBroker, tmp_path: Path, models: Path) -> None:
    """Started, ready, alive, by the probes of the spec; asked to stop, it drains and ends with 0."""
    values, secrets = of_a_user(secure)
    pod = Pod(render(values), "worker", tmp_path, models, secrets)
    with pod.start():
        pod.until("startupProbe", 200)
        pod.until("readinessProbe", 200)
        assert pod.probe("livenessProbe") == (200, "ok\n")
        assert pod.end() == 0
    assert PASSWORD not in pod.log
    assert (pod.mounted("/etc/faceline/secrets/kafka-password").stat().st_mode & 0o777) == 0o440


def test_a_secret_that_is_missing(secure: SecureBroker, tmp_path: Path, models: Path) -> None:
    """The pod isn't started without it: nothing in the spec calls it optional."""
    values, secrets = of_a_user(secure)
    for name in secrets:
        if name == "administrator":
            continue
        left = {each: data for each, data in secrets.items() if each != name}
        with pytest.raises(Waiting, match=name):
            Pod(render(values), "worker", tmp_path / name, models, left)


def test_a_wrong_password_is_said(secure: SecureBroker, tmp_path: Path, models: Path) -> None:
    """On the probe, while the process lives: whoever mends the secret finds it there."""
    values, secrets = of_a_user(secure)
    wrong = {**secrets, "worker": {"password": "not this one"}}
    pod = Pod(render(values), "worker", tmp_path, models, wrong)
    with pod.start():
        pod.until("startupProbe", 503, "check kafka.sasl_username, sasl_password")
        assert pod.probe("livenessProbe")[0] == 200
        assert pod.end() == 0


def test_the_job_of_an_administrator(secure: SecureBroker, tmp_path: Path, models: Path) -> None:
    """With its own user it may do what the workers' user may not."""
    values, secrets = of_a_user(secure)
    wanted = merged(values, {"topics": {"create": {"enabled": True}}})
    with Pod(render(wanted), "topics", tmp_path / "admin", models, secrets).start() as job:
        assert job.wait() == 0
    assert "nothing to do: every topic is there" in job.log
    theirs = {"username": "", "kafkaPassword": {"name": "", "key": "password"}}
    without = merged(wanted, {"config": {"topics": {"events": "least.new"}}, "admin": theirs})
    with Pod(render(without), "topics", tmp_path / "worker", models, secrets).start() as job:
        assert job.wait() == 1
    assert "least.new" in job.log


@pytest.mark.parametrize("as_admin", [False, True])
def test_the_doctor_of_a_release(as_admin: bool, secure: SecureBroker, tmp_path: Path, models: Path) -> None:
    """As a worker it finds every right; as the administrator it sees how topics are set."""
    values, secrets = of_a_user(secure)
    rendered = render(merged(values, {"doctor": {"asAdmin": as_admin}}))
    with Pod(rendered, "doctor", tmp_path, models, secrets).start() as doctor:
        code = doctor.wait()
    who = "administrator" if as_admin else "worker"
    assert f"as {who} by {MECHANISM}" in doctor.log
    assert code == 0, doctor.log
    said = "topics   all 6 are as they should be" if as_admin else "rights   a worker may do everything it needs"
    assert f"✓ {said}" in doctor.log


def installed(settings: Settings, **more: Any) -> Rendered:
    """A release on an open broker, with the topics' Job."""
    return render(values_of(settings, topics={"create": {"enabled": True, "replication": 1}}, **more))


def test_from_nothing_to_a_worker(kafka: Settings, tmp_path: Path, models: Path) -> None:
    """The Job makes the topics, the worker is called as its pod, the doctor has nothing against it."""
    rendered = installed(kafka, kind="StatefulSet")
    with Pod(rendered, "topics", tmp_path, models).start() as job:
        assert job.wait() == 0
    assert topics.check(kafka) == []
    worker = Pod(rendered, "worker", tmp_path, models, name="eye-faceline-1")
    assert worker.env["FACELINE_KAFKA__GROUP_INSTANCE_ID"] == "eye-faceline-1"
    with worker.start():
        worker.until("readinessProbe", 200)
        assert group(kafka).num_members == 1
        with Pod(rendered, "doctor", tmp_path, models).start() as doctor:
            assert doctor.wait() == 0
        assert f"group    {kafka.service.application_id}: 1 worker" in doctor.log
        assert worker.end() == 0


def test_a_broker_that_is_away(kafka: Settings, tmp_path: Path, models: Path) -> None:
    """The pod waits and says for what; liveness has nothing against it; it can be stopped meanwhile."""
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    rendered = installed(kafka, config={"kafka": {"bootstrap_servers": nowhere, "request_timeout_seconds": 1}})
    pod = Pod(rendered, "worker", tmp_path, models)
    with pod.start():
        for probe in ("startupProbe", "readinessProbe"):
            assert "no broker answers there" in pod.until(probe, 503, nowhere)
        assert pod.probe("livenessProbe")[0] == 200
        assert pod.end() == 0


def test_settings_that_do_not_fit_end_it(kafka: Settings, tmp_path: Path, models: Path) -> None:
    """What only the worker can know: exit code 2 and one line, for the pod's log."""
    rendered = installed(kafka, config={"topics": {"events": kafka.topics.frames}})
    with Pod(rendered, "worker", tmp_path, models).start() as pod:
        assert pod.wait() == 2
    assert "must be six different topics" in pod.log and len(pod.log.splitlines()) == 1


@pytest.mark.parametrize("init", [True, False], ids=["compile", "run"])
def test_the_gpu_preset_where_there_is_no_gpu(init: bool, kafka: Settings, tmp_path: Path, models: Path) -> None:
    """Such a pod stays Pending; were it started all the same, it would say what is missing and never take the CPU."""
    rendered = render(values_of(kafka), preset="gpu")
    with Pod(rendered, "worker", tmp_path, models, init=init).start() as pod:
        assert pod.wait() == 1
    assert (
        "NVIDIA" in pod.log and len(pod.log.splitlines()) <= 3
    )  # which of driver, GPU and TensorRT, hangs on the host


def test_who_compiles_needs_no_secret(secure: SecureBroker, tmp_path: Path, models: Path) -> None:
    """The init container starts without any, and gets as far as the GPU that isn't there."""
    values, _ = of_a_user(secure)
    rendered = render(values, preset="gpu")
    with Pod(rendered, "worker", tmp_path, models, init=True).start() as pod:
        assert pod.wait() == 1
    assert "NVIDIA" in pod.log
