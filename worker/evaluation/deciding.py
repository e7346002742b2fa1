"""Which source decides what a finished job holds: what the study imports, however far, of evaluation and training.

What only lays out results (rows, tables, the page) is imported by none of it, so changing that keeps finished folds.
Images reach a job as embeddings, and these are part of the job's digest: how they were made needs no following.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDY = "worker.evaluation.study"
_ROOMS = ("worker.evaluation", "worker.training")


def code_digest(root: Path = ROOT) -> str:
    """Of every deciding module's name and source."""
    digest = hashlib.sha256()
    for module in sorted(deciding(root)):
        digest.update(module.encode() + b"\0" + _file(module, root).read_bytes())
    return digest.hexdigest()


def deciding(root: Path = ROOT) -> set[str]:
    """The modules of both rooms that importing the study runs, and those imported only inside a function.

    What is imported for the type checker alone decides nothing.
    """
    found: set[str] = set()
    waiting = [STUDY]
    while waiting:
        module = waiting.pop()
        if module in found or not module.startswith(_ROOMS) or not _file(module, root).exists():
            continue
        found.add(module)
        waiting += [module.rpartition(".")[0], *_imported(ast.parse(_file(module, root).read_bytes()))]
    return found


def _imported(node: ast.AST) -> Iterator[str]:
    """Names that may be modules: of ``from a import b`` both ``a`` and ``a.b``."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.module, "imports here are absolute"
        yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
    for child in ast.iter_child_nodes(node):
        yield from _imported(child)


def _file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
