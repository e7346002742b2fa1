"""compose.yaml is what Compose, the images and our own command line accept. Docker isn't started here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy import compose, tools
from worker import __version__
from worker.__main__ import _parser
from worker.settings import KafkaSettings, load_settings

PROMETHEUS = tools.ROOT / "helm" / "compose" / "prometheus.yml"
GRAFANA = tools.ROOT / "helm" / "compose" / "grafana"


def against_the_schema(path: Path) -> subprocess.CompletedProcess[str]:
    """Held against the Compose specification."""
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_specification(tmp_path: Path) -> None:
    """It is valid, and a misspelt key is not."""
    done = against_the_schema(compose.FILE)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(compose.FILE.read_text().replace("healthcheck:", "healthchek:", 1))
    assert against_the_schema(wrong).returncode == 1


@pytest.mark.parametrize("name", compose.services())
def test_images_are_pinned(name: str) -> None:
    """By a tag with a version; ours by the version that this tree is."""
    image, _, tag = compose.services()[name]["image"].partition(":")
    assert re.fullmatch(r"v?[0-9]+\.[0-9]+\.[0-9]+", tag), f"{image}:{tag}"
    assert image != compose.OURS or tag == __version__


@pytest.mark.parametrize("name", compose.ours())
def test_ours_can_do_little(name: str) -> None:
    """No root, nothing written but /tmp, no capabilities, none to be had."""
    service = compose.ours()[name]
    assert service["user"] == "10001:10001" and service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert [each.split(":")[0] for each in service["tmpfs"]] == ["/tmp"]
    assert all(mount.get("read_only") for mount in service.get("volumes", []))


def test_one_service_builds() -> None:
    """Several at a time would export one tag together; the others start after it and ask no registry."""
    (builder,) = [name for name, service in compose.ours().items() if "build" in service]
    assert compose.ours()[builder]["build"] == {"context": ".", "target": "cpu"}
    assert compose.ours()[builder]["pull_policy"] == "build"
    for name, service in compose.ours().items():
        if name != builder:
            assert service["pull_policy"] == "never" and builder in compose.started_before(name)


@pytest.mark.parametrize("name", [name for name, each in compose.services().items() if "healthcheck" in each])
def test_checks_are_rare(name: str) -> None:
    """Each starts a process, so two a minute; often at the start alone, since others wait for it."""
    check = compose.services()[name]["healthcheck"]
    if not check.get("disable"):
        assert (check["interval"], check["start_interval"]) == ("30s", "5s") and check["start_period"] == "60s"
        assert "localhost" not in " ".join(check["test"])


def test_nothing_is_privileged() -> None:
    """No service gets more than it needs, and what it mounts of this machine it can't change."""
    for service in compose.services().values():
        assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)
        assert service["cap_drop"] == ["ALL"]
        for volume in service.get("volumes", []):
            assert not str(volume).startswith(".") or volume.endswith(":ro")


@pytest.mark.parametrize("name", compose.services())
def test_mounts_exist(name: str) -> None:
    """What is in the repository is there; the footage is what 'make footage' writes, and never made up by Docker."""
    service = compose.services()[name]
    for target, source in compose.binds(service).items():
        if target == "/footage":
            assert f"demo --footage {source.removeprefix('./')}\n" in (tools.ROOT / "Makefile").read_text()
            assert [mount["bind"] for mount in service["volumes"]] == [{"create_host_path": False}]
        else:
            assert (tools.ROOT / source).exists(), source
    named = {str(volume).split(":")[0] for volume in service.get("volumes", []) if isinstance(volume, str)}
    assert {each for each in named if not each.startswith(".")} <= set(compose.stack()["volumes"])


@pytest.mark.parametrize("name", compose.ours())
def test_commands_are_ours(name: str) -> None:
    """Every command line, health checks too, is one of this version's."""
    service = compose.ours()[name]
    assert _parser(service["command"]).parse_args(service["command"]).run
    if service["healthcheck"] != {"disable": True}:
        kind, program, *arguments = service["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "faceline")
        assert _parser(arguments).parse_args(arguments).run


@pytest.mark.parametrize("name", compose.ours())
def test_only_what_serves_is_asked_for_its_health(name: str) -> None:
    """The image's check asks a worker's port: a command without one would be unhealthy for ever."""
    service = compose.ours()[name]
    serves = service["command"][0] == "run"
    assert serves == ("test" in service["healthcheck"])
    assert serves or service["healthcheck"] == {"disable": True}


@pytest.mark.parametrize("name", compose.ours())
def test_variables_are_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They load, and lead to the broker's inner listener."""
    for variable, value in compose.ours()[name]["environment"].items():
        assert variable.startswith("FACELINE_")
        monkeypatch.setenv(variable, value)
    advertised = compose.kafka_properties()["advertised.listeners"].split(",")
    assert f"PLAINTEXT://{load_settings().kafka.bootstrap_servers}" in advertised


def test_order_of_start() -> None:
    """Who waits for health waits for a service that has a check; who waits for an end, for one that ends."""
    services = compose.services()
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], f"{name} → {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services[other]["command"][0] in ("topics", "enroll") and "restart" not in services[other]


def test_ports() -> None:
    """On this machine alone, and no two services on one."""
    ports = [compose.published(port) for each in compose.services().values() for port in each.get("ports", [])]
    assert {address for address, _, _ in ports} == {"127.0.0.1"}
    assert len({outer for _, outer, _ in ports}) == len(ports) == 3


def test_listeners_of_the_broker() -> None:
    """Each has a protocol; the one for this machine is advertised as the port that is published."""
    properties = compose.kafka_properties()
    ports = {}
    for listener in properties["listeners"].split(","):
        name, _, port = listener.partition("://:")
        ports[name] = int(port)
    protocols = dict(pair.split(":") for pair in properties["listener.security.protocol.map"].split(","))
    assert ports.keys() == protocols.keys() == {"PLAINTEXT", "HOST", "CONTROLLER"}
    assert properties["controller.quorum.voters"] == f"1@kafka:{ports['CONTROLLER']}"
    ((_, outer, inner),) = [compose.published(port) for port in compose.services()["kafka"]["ports"]]
    assert properties["advertised.listeners"] == f"PLAINTEXT://kafka:{ports['PLAINTEXT']},HOST://localhost:{outer}"
    assert inner == ports["HOST"]


def test_the_broker_takes_the_largest_record() -> None:
    """Frames as large as the settings allow, and one copy of what Kafka keeps for itself."""
    properties = compose.kafka_properties()
    for name in ("message.max.bytes", "replica.fetch.max.bytes"):
        assert int(properties[name]) > KafkaSettings().max_record_bytes
    assert {value for name, value in properties.items() if name.endswith("replication.factor")} == {"1"}


def test_prometheus_reads_its_file(promtool: Path, tmp_path: Path) -> None:
    """With our rules, and at the worker's port."""
    services = compose.services()
    mounts = compose.binds(services["prometheus"])
    assert tools.ROOT / mounts["/etc/prometheus/prometheus.yml"] == PROMETHEUS
    config = yaml.safe_load(PROMETHEUS.read_text())
    (pattern,) = config["rule_files"]
    assert str(Path(pattern).parent) in mounts
    (job,) = config["scrape_configs"]
    (sought,) = job["dns_sd_configs"]
    assert job["job_name"] == "faceline" and set(sought["names"]) <= set(services)
    assert sought["port"] == load_settings().http.port
    assert [rule["target_label"] for rule in job["relabel_configs"]] == ["namespace", "pod"]  # as a PodMonitor has them
    config["rule_files"] = [str(tools.ROOT / mounts[str(Path(pattern).parent)] / "*.yaml")]
    rewritten = tmp_path / "prometheus.yml"
    rewritten.write_text(yaml.safe_dump(config))
    done = tools.run(promtool, "check", "config", str(rewritten))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout + done.stderr


def test_grafana_finds_its_dashboards() -> None:
    """The source is the service's address, the folder is where the dashboards are mounted, and there are some."""
    services = compose.services()
    mounts = compose.binds(services["grafana"])
    assert (tools.ROOT / mounts["/etc/grafana/provisioning"]).samefile(GRAFANA)
    (source,) = yaml.safe_load((GRAFANA / "datasources" / "prometheus.yaml").read_text())["datasources"]
    ((_, _, port),) = [compose.published(each) for each in services["prometheus"]["ports"]]
    assert source["url"] == f"http://prometheus:{port}" and source["isDefault"] and source["type"] == "prometheus"
    (provider,) = yaml.safe_load((GRAFANA / "dashboards" / "faceline.yaml").read_text())["providers"]
    folder = provider["options"]["path"]
    assert list((tools.ROOT / mounts[folder]).glob("*.json"))
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(compose.mapped(home, {folder: tools.ROOT / mounts[folder]})).exists()
