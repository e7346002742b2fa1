"""Every name that our code takes from TensorRT is there in the real bindings of the pinned version, read, not run.

Our code is typed ``Any`` towards the vendor, and no test here has TensorRT proper: a typo would show on a GPU first.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker
from tests.engines.compile.real_names import rtx_names, tensorrt_names

ENGINES = Path(worker.__file__).parent / "engines"
BUILD = ENGINES / "compile" / "build.py"

CLASSES = {
    "builder": "Builder",
    "definition": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "optimization": "IOptimizationProfile",
    "complaint": "ParserError",
    "plan": "IHostMemory",
}
"""What ``build.py`` calls its objects of TensorRT's classes."""

RUNTIME_CLASSES = {"_runtime": "Runtime", "_engine": "ICudaEngine", "raw": "IExecutionContext"}
"""The same for attributes in ``tensorrt.py``, which runs engines."""

OBJECTS = {BUILD: CLASSES, ENGINES / "tensorrt.py": RUNTIME_CLASSES}

Use = tuple[str, str]
"""Class (empty for the module) and name in it."""


def uses(tree: ast.AST, classes: dict[str, str]) -> Iterator[tuple[bool, Use]]:
    """Whether it is for RTX alone, and what is used: names of ``trt``, of its enumerations, and of its objects.

    For RTX alone are functions that speak of ``trt_rtx``.
    """
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        only_rtx = any(isinstance(node, ast.Name) and node.id == "trt_rtx" for node in ast.walk(function))
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and (use := _use(node, classes)):
                yield only_rtx, use
            elif isinstance(node, ast.ClassDef):
                for base in node.bases:
                    if isinstance(base, ast.Attribute) and _is_module(base.value):
                        yield from ((only_rtx, (base.attr, name)) for name in _methods(node))


def _use(node: ast.Attribute, classes: dict[str, str]) -> Use | None:
    if _is_module(node.value):
        return "", node.attr
    if isinstance(node.value, ast.Attribute) and _is_module(node.value.value):
        if node.value.attr.startswith("__"):  # text, as of trt.__name__
            return None
        return node.value.attr, node.attr
    holder = _name(node.value)
    return (classes[holder], node.attr) if holder in classes else None


def _is_module(node: ast.AST) -> bool:
    return _name(node) in ("trt", "trt_rtx", "_trt")


def _name(node: ast.AST) -> str:
    """Of a variable, or of an attribute of one, as ``_trt`` in ``self._trt``."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _methods(node: ast.ClassDef) -> list[str]:
    return [part.name for part in node.body if isinstance(part, ast.FunctionDef) and not part.name.startswith("_")]


def missing(found: set[Use], real: dict) -> set[Use]:
    """Those that the bindings don't have."""
    return {(kind, name) for kind, name in found if name not in real["names"].get(kind, [])}


@pytest.fixture(scope="module")
def tensorrt(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Of the pinned bindings of TensorRT proper."""
    return tensorrt_names(tmp_path_factory.mktemp("libraries"))


@pytest.fixture(scope="module")
def rtx_module() -> dict:
    """Of TensorRT for RTX."""
    return rtx_names()


@pytest.fixture(scope="module")
def used() -> list[tuple[bool, Use]]:
    """By every module of the engines; what one calls its objects means nothing in another."""
    found = []
    for path in sorted(ENGINES.rglob("*.py")):
        found += uses(ast.parse(path.read_text("utf-8")), OBJECTS.get(path, {}))
    return found


def test_the_walk_sees_what_is_used(used: list[tuple[bool, Use]]) -> None:
    """Names of the module, of enumerations, of objects, of callbacks; and those for RTX apart."""
    for use in [
        ("", "Builder"), ("BuilderFlag", "TF32"), ("Builder", "create_network"), ("IBuilderConfig", "progress_monitor"),
        ("IProgressMonitor", "step_complete"), ("ILogger", "log"), ("OnnxParser", "num_errors"),
    ]:  # fmt: skip
        assert (False, use) in used
    assert (True, ("", "ComputeCapability")) in used
    assert (True, ("IBuilderConfig", "set_compute_capability")) in used


def test_tensorrt_has_them(used: list[tuple[bool, Use]], tensorrt: dict) -> None:
    """All but those that are for RTX alone."""
    assert tensorrt["version"].startswith("11.")
    assert missing({use for only_rtx, use in used if not only_rtx}, tensorrt) == set()


def test_rtx_has_them(used: list[tuple[bool, Use]], rtx_module: dict) -> None:
    """All."""
    assert missing({use for _, use in used}, rtx_module) == set()


def test_what_rtx_alone_has_is_apart(used: list[tuple[bool, Use]], tensorrt: dict) -> None:
    """The test can fail: TensorRT proper doesn't have what is for RTX, nor what nobody has."""
    assert ("", "ComputeCapability") in missing({use for only_rtx, use in used if only_rtx}, tensorrt)
    old = ast.parse("def f(trt, config):\n    config.set_flag(trt.BuilderFlag.FP16)\n    config.max_workspace_size = 1")
    found = {use for _, use in uses(old, CLASSES)}
    assert missing(found, tensorrt) == {("BuilderFlag", "FP16"), ("IBuilderConfig", "max_workspace_size")}
    old = ast.parse("def f(self):\n    self._trt.TensorIOMode.INPUT\n    self._engine.get_binding_shape(0)")
    found = {use for _, use in uses(old, RUNTIME_CLASSES)}
    assert ("TensorIOMode", "INPUT") in found
    assert missing(found, tensorrt) == {("ICudaEngine", "get_binding_shape")}


def test_objects_are_of_the_classes_named(tensorrt: dict) -> None:
    """What a method is documented to return is the class that the name of its result stands for."""
    tree = ast.parse(BUILD.read_text("utf-8"))
    checked = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Call):
            name, call = node.targets[0].id, node.value.func
            if name in CLASSES and isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name):
                holder = CLASSES.get(call.value.id)
                made = call.attr if _is_module(call.value) else tensorrt["returns"].get(f"{holder}.{call.attr}")
                if made:
                    checked[name] = made
    assert checked.items() <= CLASSES.items()
    assert {"builder", "definition", "config", "parser", "optimization"} <= checked.keys()
