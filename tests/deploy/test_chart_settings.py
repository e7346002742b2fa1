"""Every setting of the worker is reached by a value, and every value under ``config`` reaches a setting.

The rendered settings file and variables are read by the worker's own code, as in the image, which sets two folders.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm.values.__main__ import CHART
from tests.deploy.cases import AS_ADMIN, MUTUAL_TLS, SASL
from tests.deploy.chart import IMAGE, Rendered, at, merged, render
from worker.settings import Settings, load_settings

pytestmark = pytest.mark.usefixtures("helm")

ELSEWHERE = {
    "kafka.sasl_password": "secrets.kafkaPassword: a file",
    "kafka.ssl_key_password": "secrets.kafkaClient.keyPasswordKey: a variable",
    "kafka.group_instance_id": "kind: the pod's name",
}
"""Settings that aren't given under config, and what does it instead; the tests at the end show that it does."""

CHOSEN: dict[str, object] = {  # where neither the next number nor the next word of a list will do
    "kafka.bootstrap_servers": "kafka:9092",
    "kafka.security_protocol": "SSL",
    "kafka.options": {"client_dns_lookup": "use_all_dns_ips"},
    "kafka.consumer_options": {"fetch_max_wait_ms": 50},
    "kafka.producer_options": {"linger_ms": 7},
    "gallery.fpir": 0.002,
    "engine.kind": "tensorrt",
    "http.host": "::",
    "tracing.endpoint": "http://otel:4318",
    "kafka.transaction_timeout_seconds": 9.0,
}


def fields() -> dict[str, dict[str, Any]]:
    """Every setting by path, as its JSON Schema."""
    schema = Settings.model_json_schema()
    groups = {name: each["$ref"].rpartition("/")[2] for name, each in schema["properties"].items()}
    return {
        f"{group}.{name}": each
        for group, kind in groups.items()
        for name, each in schema["$defs"][kind]["properties"].items()
    }


def another(path: str, field: dict[str, Any]) -> object:
    """A value that isn't the default, and that is allowed."""
    if path in CHOSEN:
        return CHOSEN[path]
    default, (kind, *_) = field.get("default"), field.get("anyOf", [field])
    if "enum" in kind:
        return next(each for each in kind["enum"] if each != default)
    if kind["type"] == "boolean":
        return not default
    if kind["type"] == "string":
        return "/data/folder" if kind.get("format") == "path" else f"an.other-{path.rpartition('.')[2]}"
    if default is None:
        return 3
    lower = default - 1 if kind["type"] == "integer" else default * 0.9
    is_allowed = lower != default and lower >= kind.get("minimum", lower) and lower > kind.get("exclusiveMinimum", -1)
    return lower if is_allowed else default + 1


def load(rendered: Rendered, tmp_path: Path) -> Settings:
    """As the worker in its pod reads them."""
    path = tmp_path / "faceline.yaml"
    path.write_text(rendered.one("ConfigMap", "eye-faceline")["data"]["faceline.yaml"])
    (worker,) = rendered.workload["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in worker["env"] if "value" in each}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (IMAGE | given | {"FACELINE_CONFIG": str(path)}).items():
            patch.setenv(name, value)
        return load_settings()


FIELDS = {path: field for path, field in fields().items() if path not in ELSEWHERE}


@cache
def everything() -> dict[str, Any]:
    """Another value for every setting."""
    return merged(*(at(f"config.{path}", another(path, field)) for path, field in FIELDS.items()))


@pytest.fixture(scope="module")
def loaded_with_all(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the worker reads where every setting is given."""
    fitting = {"gpu": {"resourceName": "nvidia.com/gpu"}, "image": {"variant": "gpu"}}
    found = load(render(merged(fitting, everything())), tmp_path_factory.mktemp("settings"))
    return json.loads(found.model_dump_json())


def looked_up(tree: dict[str, Any], path: str) -> Any:
    """The value there."""
    group, name = path.split(".")
    return tree[group][name]


@pytest.mark.parametrize("path", FIELDS)
def test_a_value_reaches_its_setting(path: str, loaded_with_all: dict[str, Any], tmp_path: Path) -> None:
    """The setting has the value that was given under config, and not the default."""
    given = looked_up(everything()["config"], path)
    assert looked_up(loaded_with_all, path) == given
    assert given != FIELDS[path].get("default")


def test_every_value_is_a_setting() -> None:
    """The schema under config has the settings of the worker, no other, and none is missing."""
    definitions = json.loads((CHART / "values.schema.json").read_text())["$defs"]
    groups = {
        name: definitions[each["$ref"].removeprefix("#/$defs/")]["properties"]
        for name, each in definitions["worker.Settings"]["properties"].items()
    }
    known = {f"{group}.{name}" for group, each in groups.items() for name in each}
    assert known == set(fields())


def test_nothing_given_is_the_default(tmp_path: Path) -> None:
    """But for the brokers and the image's folders, a worker in a pod has the settings of a worker anywhere."""
    found = load(render(), tmp_path)
    usual = Settings()
    assert (str(found.models.dir), str(found.engine.cache_dir)) == (
        "/opt/faceline/models",
        "/var/cache/faceline/engines",
    )
    assert found.kafka.bootstrap_servers == "kafka-0:9092,kafka-1:9093"
    ours = {"models": {"dir"}, "engine": {"cache_dir"}, "kafka": {"bootstrap_servers"}}
    assert found.model_dump(exclude=ours) == usual.model_dump(exclude=ours)


def test_secrets_are_files(tmp_path: Path) -> None:
    """Where they are mounted is where the worker looks."""
    rendered = render(merged(SASL, {"secrets": {"galleryKey": {"key": "keys"}}}))
    found = load(rendered, tmp_path)
    spec = rendered.workload["spec"]["template"]["spec"]
    (settings,) = [each["projected"]["sources"] for each in spec["volumes"] if each["name"] == "settings"]
    mounted = {
        f"/etc/faceline/{item['path']}": (source["secret"]["name"], item["key"])
        for source in settings if "secret" in source for item in source["secret"]["items"]
    }  # fmt: skip
    assert {"name": "settings", "mountPath": "/etc/faceline", "readOnly": True} in spec["containers"][0]["volumeMounts"]
    assert mounted == {
        str(found.kafka.sasl_password_file): ("kafka-user", "password"),
        str(found.kafka.ssl_cafile): ("kafka-ca", "ca.crt"),
        str(found.encryption.key_file): ("gallery", "keys"),
    }


def test_a_clients_certificate(tmp_path: Path) -> None:
    """Two files, and the key's password as a variable from the same secret."""
    rendered = render(MUTUAL_TLS)
    found = load(rendered, tmp_path)
    assert str(found.kafka.ssl_certfile) == "/etc/faceline/secrets/kafka-client.pem"
    assert str(found.kafka.ssl_keyfile) == "/etc/faceline/secrets/kafka-client.key"
    env = {each["name"]: each for each in rendered.workload["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["FACELINE_KAFKA__SSL_KEY_PASSWORD"]["valueFrom"] == {
        "secretKeyRef": {"name": "client", "key": "password"}
    }


def test_the_administrators_secrets() -> None:
    """The topics' Job has its user, password and certificate; the workers and, unless asked, the doctor don't."""
    admin = {
        "admin": {"username": "root", "kafkaPassword": {"name": "root-secret", "key": "pw"}},
        "topics": {"create": {"enabled": True}},
    }
    pods = render(merged(SASL, admin)).pods()
    uses = {role: yaml.safe_dump(pod["spec"]) for role, pod in pods.items()}
    assert {role for role, text in uses.items() if "root-secret" in text} == {"topics"}
    assert {role for role, text in uses.items() if "kafka-user" in text} == {"worker", "doctor"}
    (job,) = pods["topics"]["spec"]["containers"]
    assert {"name": "FACELINE_KAFKA__SASL_USERNAME", "value": "root"} in job["env"]
    asked = render(merged(SASL, admin, at("doctor.asAdmin", True))).pods()["doctor"]
    assert "root-secret" in yaml.safe_dump(asked) and "kafka-user" not in yaml.safe_dump(asked)


def test_the_administrators_password_beside_a_file_of_the_workers() -> None:
    """Who logs in as the administrator has the administrator's password, wherever the workers' own comes from."""
    admin = {
        "config": {"kafka": {"sasl_password_file": "/csi/password"}},
        "secrets": {"kafkaPassword": {"name": ""}},
        "admin": {"username": "root", "kafkaPassword": {"name": "root-secret", "key": "pw"}},
        "topics": {"create": {"enabled": True}},
        "doctor": {"asAdmin": True},
    }
    pods = render(merged(SASL, admin)).pods()
    for role in ("topics", "doctor"):
        spec = pods[role]["spec"]
        env = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
        assert env["FACELINE_KAFKA__SASL_PASSWORD_FILE"] == "/etc/faceline/secrets/kafka-password"
        (settings,) = [each["projected"]["sources"] for each in spec["volumes"] if each["name"] == "settings"]
        assert {
            "name": "root-secret",
            "items": [{"key": "pw", "path": "secrets/kafka-password"}],
        } in [source.get("secret") for source in settings]
    assert "kafka-password" not in yaml.safe_dump(pods["worker"]["spec"])


def test_who_holds_the_gallerys_key() -> None:
    """Workers and their doctor open the gallery; an administrator of topics has no business with it."""

    def holders(values: dict[str, Any]) -> set[str]:
        pods = render(merged(SASL, {"topics": {"create": {"enabled": True}}}, values)).pods()
        return {role for role, pod in pods.items() if "gallery-keys" in yaml.safe_dump(pod["spec"])}

    assert holders({}) == {"worker", "doctor"}
    assert holders(AS_ADMIN) == {"worker"}


def test_no_secret_is_in_the_objects() -> None:
    """Not even by accident: the chart makes no Secret, and takes no value of one."""
    assert render(SASL).all("Secret") == []
