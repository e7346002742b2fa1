"""The house stays as drawn: who may import whom, and who may touch a clock, a file or a socket.

Sources are parsed, not run. Each rule is first shown a sample that breaks it, so that a rule which sees nothing fails.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import worker

ROOT = Path(worker.__file__).parent
SERVING = ("worker.service", "worker.pipeline", "worker.assemble", "worker.settings", "worker.transport.memory")
PYDANTIC_ROOMS = (
    "worker.settings",
    "worker.messages",
    "worker.contracts",
    "worker.gallery.records",
    "worker.gallery.receipts",
    "worker.engines.models",
    "worker.engines.int8",
    "worker.commands",
)
CLOCKS_FILES_SOCKETS = {
    *("open", "input", "print", "socket", "sleep", "perf_counter", "monotonic", "thread_time", "process_time"),
    *("read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "imread", "imwrite", "VideoCapture"),
    *("getenv", "urlopen", "now", "utcnow", "today", "time_ns", "urandom", "default_rng"),
}
EFFECTS = {
    *("open", "print", "input", "getenv", "home", "cwd", "expanduser", "exists", "read_text", "read_bytes", "mkdir"),
    *("basicConfig", "now", "utcnow", "setNumThreads", "setLogLevel", "run", "Popen", "urlopen", "load", "seed"),
}


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    name: str
    tree: ast.Module
    is_package: bool = False

    def inside(self, *rooms: str) -> bool:
        """Whether it is one of ``rooms`` or lies in one."""
        return any(self.name == room or self.name.startswith(room + ".") for room in rooms)


def sample(name: str, source: str) -> Module:
    """A module that doesn't exist."""
    return Module(name, ast.parse(source))


@cache
def sources() -> list[Module]:
    """All of the package."""
    modules = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("worker", *path.relative_to(ROOT).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name, ast.parse(path.read_text("utf-8")), is_package))
    return modules


def imports(module: Module, *, with_types: bool = False) -> Iterator[str]:
    """Every name imported anywhere, functions included; what stands under TYPE_CHECKING only ``with_types``."""
    typing_only = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing_only |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(module.tree):
        if id(node) in typing_only and not with_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                home = module.name.split(".")[: None if module.is_package else -1]
                home = home[: len(home) - node.level + 1]
                base = ".".join([*home, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield ast.unparse(node.args[0]).strip("'\"").removeprefix("f'").removeprefix('f"')


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def importing(module: Module, *rooms: str, but: tuple[str, ...] = (), with_types: bool = False) -> list[str]:
    """What the module imports out of ``rooms``, except from ``but``."""

    def lies_in(name: str, places: tuple[str, ...]) -> bool:
        return any(name == place or name.startswith(place + ".") for place in places)

    return [n for n in imports(module, with_types=with_types) if lies_in(n, rooms) and not lies_in(n, but)]


def stages_know_no_surroundings(module: Module) -> list[str]:
    """Stages import no transport, service, command, setting, report or training."""
    rooms = ("transport", "service", "commands", "settings", "reporting", "training", "assemble", "pipeline", "gallery")
    return importing(module, *(f"worker.{r}" for r in rooms)) if module.inside("worker.stages") else []


def serving_knows_no_training(module: Module) -> list[str]:
    """Only training, evaluation and their commands import torch, the training code or the evaluation."""
    commands = ("worker.commands.training", "worker.commands.train", "worker.commands.tune", "worker.commands.evaluate")
    if module.inside("worker.training", "worker.evaluation", *commands):
        return []
    return importing(module, "torch", "worker.training", "worker.evaluation", with_types=True)


def the_log_is_a_protocol(module: Module) -> list[str]:
    """``transport/log`` imports nothing of the package but errors and types."""
    if not module.inside("worker.transport.log"):
        return []
    return importing(module, "worker", but=("worker.errors", "worker.types"), with_types=True)


def the_pipeline_knows_no_transport(module: Module) -> list[str]:
    """``pipeline`` joins stages, and nothing else."""
    rooms = ("worker.transport", "worker.service", "worker.settings", "worker.gallery", "worker.messages")
    return importing(module, *rooms) if module.inside("worker.pipeline") else []


def pydantic_stands_at_the_edges(module: Module) -> list[str]:
    """Settings, messages, records and manifests; who reads them elsewhere may know their one error."""
    if module.inside(*PYDANTIC_ROOMS):
        return []
    pure = module.inside("worker.stages", "worker.pipeline", "worker.types")
    return importing(module, "pydantic", "pydantic_settings", but=() if pure else ("pydantic.ValidationError",))


def few_know_the_kafka_client(module: Module) -> list[str]:
    """The library can be swapped: only the rooms that talk to it import it, and never beside the in-process log."""
    rooms = ("kafka", "clients", "consumer", "committing", "restoring", "reading", "topics", "groups", "inquiry")
    if module.inside(*(f"worker.transport.{room}" for room in rooms)):
        return []
    return importing(module, "kafka", "confluent_kafka", "aiokafka")


def few_know_the_gpu(module: Module) -> list[str]:
    """CUDA and TensorRT are spoken to on their pages alone; those are imported where a GPU was chosen or asked for."""
    if module.inside("worker.engines.tensorrt", "worker.engines.gpu", "worker.engines.compile"):
        return []
    found = importing(module, "cuda", "tensorrt", "tensorrt_rtx", "pynvml")
    return found if module.inside("worker.accelerate") else found + importing(module, "worker.engines.tensorrt")


def steps_are_pure(module: Module) -> list[str]:
    """Stages and pipeline call no clock, file, socket or randomness, nor import what gives them."""
    if not module.inside("worker.stages", "worker.pipeline"):
        return []
    calls = [_called(node) for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    given = importing(module, "time", "datetime", "os", "io", "socket", "pathlib", "random", "logging", "threading")
    return [name for name in calls if name in CLOCKS_FILES_SOCKETS] + given


def imports_have_no_effects(module: Module) -> list[str]:
    """Nothing that runs at import reads the environment, a file or a clock, or prints or sets anything."""
    found = []
    for node in _run_at_import(module.tree.body):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "sys.argv"):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and _called(node) in EFFECTS:
            found.append(_called(node))
    return found


def _run_at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
            continue
        waiting: list[ast.AST] = [statement]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                # A body runs later; decorators and defaults run now.
                waiting += getattr(node, "decorator_list", [])
                waiting += [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]
                continue
            yield node
            waiting += ast.iter_child_nodes(node)


RULES: dict[Callable[[Module], list[str]], list[Module]] = {
    stages_know_no_surroundings: [
        sample("worker.stages.x", "from worker.transport.log import Record"),
        sample("worker.stages.x", "import worker.settings"),
        sample("worker.stages.x", "def f():\n    from worker.reporting import page"),
        sample("worker.stages.x", "from ..service import Service"),
        sample("worker.stages.x", "from worker import commands"),
    ],
    serving_knows_no_training: [
        sample("worker.pipeline", "import torch.nn as nn"),
        sample("worker.commands.demo", "def f():\n    from worker.training.model import Recognizer"),
        sample("worker.service", "if TYPE_CHECKING:\n    from torch import Tensor"),
        sample("worker.assemble", "from worker.evaluation.metrics import roc"),
        sample("worker.commands.run", "def f():\n    import worker.evaluation.precision.report"),
        sample("worker.engines.x", "importlib.import_module('torch')"),
    ],
    the_log_is_a_protocol: [sample("worker.transport.log", "from worker.pipeline import FrameIn")],
    the_pipeline_knows_no_transport: [sample("worker.pipeline", "from worker.transport import log")],
    pydantic_stands_at_the_edges: [
        sample("worker.types", "from pydantic import BaseModel"),
        sample("worker.stages.x", "import pydantic"),
        sample("worker.pipeline", "from pydantic import ValidationError"),
        sample("worker.gallery.index", "from pydantic_settings import BaseSettings"),
    ],
    few_know_the_kafka_client: [sample("worker.service", "from confluent_kafka import Consumer")],
    few_know_the_gpu: [
        sample("worker.engines.batched", "from cuda.bindings import runtime"),
        sample("worker.pipeline", "def f():\n    import tensorrt"),
        sample("worker.assemble", "def f():\n    from worker.engines.tensorrt import TensorRtDevice"),
    ],
    steps_are_pure: [
        sample("worker.stages.x", "def f():\n    return time.time_ns()"),
        sample("worker.stages.x", "import time"),
        sample("worker.pipeline", "from datetime import datetime"),
        sample("worker.pipeline", "def f(clock):\n    return clock.now()"),
        sample("worker.stages.x", "def f(p):\n    with open(p) as file:\n        pass"),
        sample("worker.stages.x", "def f(p):\n    return cv2.imread(p)"),
    ],
    imports_have_no_effects: [
        sample("worker.x", "import os\nHOME = os.environ['HOME']"),
        sample("worker.x", "class A:\n    folder = Path.home()"),
        sample("worker.x", "def f(folder=Path('x').read_text()):\n    pass"),
        sample("worker.x", "cv2.setNumThreads(1)"),
        sample("worker.x", "try:\n    print('hello')\nfinally:\n    pass"),
    ],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Callable[[Module], list[str]]) -> None:
    """No module of the package breaks it."""
    broken = {module.name: names for module in sources() if (names := rule(module))}
    assert broken == {}, f"{rule.__name__}: {rule.__doc__}"


@pytest.mark.parametrize(
    ("rule", "offender"),
    [(rule, offender) for rule, offenders in RULES.items() for offender in offenders],
    ids=lambda value: getattr(value, "__name__", None) or ast.unparse(value.tree).replace("\n", ";")[:60],
)
def test_rule_can_fail(rule: Callable[[Module], list[str]], offender: Module) -> None:
    """Each rule sees the code that it forbids."""
    assert rule(offender)


@pytest.mark.parametrize(
    "innocent",
    [
        sample("worker.training.x", "import torch"),
        sample("worker.transport.kafka", "from confluent_kafka import Consumer"),
        sample("worker.settings", "def f():\n    return os.environ"),
        sample("worker.stages.x", "from worker.stages.decide import Standing"),
        sample("worker.__main__", "if __name__ == '__main__':\n    print('run')"),
    ],
    ids=lambda module: module.name,
)
def test_rules_let_the_rest_alone(innocent: Module) -> None:
    """What is allowed passes every rule."""
    assert [rule.__name__ for rule in RULES if rule(innocent)] == []


def test_all_sources_are_seen() -> None:
    """The walk finds the rooms that the rules speak of; a renamed room would pass every rule unseen."""
    names = {module.name for module in sources()}
    rooms = {"worker.stages.detect", "worker.pipeline", "worker.service", "worker.transport.log", "worker.training"}
    assert rooms | {"worker.gallery.records", "worker.engines.models", "worker.commands.train"} <= names
    assert len(names) > 50


def test_serving_starts_without_torch() -> None:
    """With torch blocked, what serves imports; with onnxruntime blocked it doesn't, so the block works."""
    script = "import sys\nsys.modules[{blocked!r}] = None\nimport " + ", ".join(SERVING)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script.format(blocked=blocked)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT.parent,
        )
        for blocked in ("torch", "onnxruntime")
    ]  # fmt: skip
    (_, without_torch), (_, without_runtime) = (run.communicate(timeout=120) for run in runs)
    assert runs[0].returncode == 0, without_torch.decode()
    assert b"import of onnxruntime halted" in without_runtime
