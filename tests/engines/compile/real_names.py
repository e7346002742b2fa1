"""What the real bindings of TensorRT hold, asked of the wheels themselves.

TensorRT's wheel of bindings is on the package index, its libraries aren't. The bindings need nine functions of them,
and call none when they are imported: a library of nine empty functions, made by the C compiler, lets them be looked at.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

Names = dict[str, list[str]]
"""Names in the module under ``""``, and in each of its classes under the class's name."""

_FUNCTIONS = (
    *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL"),
    *("createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry"),
    *("getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins"),
)
_LIBRARIES = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")

_LISTING = """
import importlib, inspect, json, sys
module = importlib.import_module(sys.argv[1])
names = {"": dir(module)}
returns = {}
for name, kind in vars(module).items():
    if inspect.isclass(kind):
        names[name] = dir(kind)
        for attribute in dir(kind):
            said = getattr(getattr(kind, attribute), "__doc__", None) or ""
            if "->" in said.split("\\n")[0]:
                returns[name + "." + attribute] = said.split("\\n")[0].rsplit("->", 1)[1].strip().rsplit(".", 1)[-1]
print(json.dumps({"version": module.__version__, "names": names, "returns": returns}))
"""


def tensorrt_names(folder: Path) -> dict[str, object]:
    """``version``, ``names`` and ``returns`` (class of what a method returns) of TensorRT's bindings."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if find_spec("tensorrt_bindings") is None:
        pytest.skip("TensorRT's bindings aren't installed (they are for x86-64 Linux)")
    if compiler is None:
        pytest.skip("no C compiler: the libraries that TensorRT's bindings want can't be stood in for")
    source = folder / "empty.c"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in _FUNCTIONS))
    for library in _LIBRARIES:
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", folder / library, source], check=True
        )
    return _listed("tensorrt_bindings", {"LD_LIBRARY_PATH": str(folder)})


def rtx_names() -> dict[str, object]:
    """The same of TensorRT for RTX."""
    if find_spec("tensorrt_rtx") is None:
        pytest.skip("TensorRT for RTX isn't installed (it is for x86-64 Linux)")
    return _listed("tensorrt_rtx", {})


def _listed(module: str, environment: dict[str, str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", _LISTING, module], env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    listed: dict[str, object] = json.loads(done.stdout)
    return listed
