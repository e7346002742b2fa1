"""Objects held against their kinds' schemas, strictly: an unknown field or a kind without a schema is an error."""

import json
import warnings
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

Object = dict[str, Any]


class NoSchema(Exception):
    """Nobody tells what such an object looks like."""


def problems(thing: Object, kubernetes: str) -> list[str]:
    """Where it isn't as its kind is in that version; empty: it is. Raises ``NoSchema``."""
    validator = _validator(thing["apiVersion"], thing["kind"], kubernetes)
    name = f"{thing['kind']} {thing['metadata']['name']}"
    return [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(thing)]


@cache
def _validator(api_version: str, kind: str, kubernetes: str) -> Draft202012Validator:
    if api_version == "keda.sh/v1alpha1":
        from cloudcoil.models.keda import v1alpha1 as models
    elif api_version == "monitoring.coreos.com/v1":
        from cloudcoil.models.prometheus_operator import v1 as models
    else:
        return _of_kubernetes(api_version, kind, kubernetes)
    model = getattr(models, kind, None)
    if model is None:
        raise NoSchema(f"{api_version} {kind}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, about the models' own names
        return Draft202012Validator(_strict(model.model_json_schema(by_alias=True)))


def _of_kubernetes(api_version: str, kind: str, kubernetes: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], version) if part)
    path = _folder(kubernetes) / f"{name}.json"
    if not path.is_file():
        raise NoSchema(f"{api_version} {kind} in Kubernetes {kubernetes}")
    return Draft202012Validator(json.loads(path.read_text()), registry=_registry(kubernetes))


@cache
def _registry(kubernetes: str) -> Registry:
    definitions = json.loads((_folder(kubernetes) / "_definitions.json").read_text())
    return Resource.from_contents(definitions) @ Registry()


def _folder(kubernetes: str) -> Any:
    return files("kubernetes_validate") / "kubernetes-json-schema" / f"v{kubernetes}.0-local-strict"


def _strict(node: Any) -> Any:
    """With every object closed, but those whose schema says what their further fields are."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {name: _strict(each) for name, each in node.items()}
    return {"additionalProperties": False, **made} if node.get("properties") else made
