"""``faceline compile``: TensorRT engines, built before workers need them."""

import argparse
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, get_args

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from worker.assemble import REFERENCE, Network, check_parity, open_engine
from worker.commands.compare import table_of
from worker.commands.options import add_settings, print_json, settings_of
from worker.compiling import ANY_GPU, NETWORKS, Compiled, Target, compile_networks, target_of
from worker.engines.compile.flavour import Flavour, open_flavour
from worker.engines.gpu import NoGpu, find_gpu
from worker.engines.parity import Engines, Row
from worker.errors import InvalidSettings
from worker.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], help="instead of engine.precision")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, metavar="NETWORK", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--force", action="store_true", help="build even what is in the cache and whole")
    parser.add_argument(
        "--flavour", choices=["tensorrt", "rtx"], default="tensorrt", help="rtx: TensorRT for RTX; default: tensorrt"
    )
    parser.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help="with --flavour rtx, of the GPUs to build for; default: the one here",
    )
    parser.add_argument(
        "--no-check", dest="check", action="store_false",
        help="don't hold them against the reference: a worker does that at its start, and shows what differs",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = """examples:
  faceline compile                          all networks for the GPU here, into engine.cache_dir; what is there is kept
  faceline compile --precision fp16         in half precision
  faceline compile --force --only embedder  anew
  faceline compile --flavour rtx --compute-capability 8.9
                                            without a GPU, for others' GPUs of compute capability 8.9; such engines are
                                            for programs that run TensorRT for RTX and for no others

With TensorRT the engines are then held against the reference; exit code 1 where they differ, unless --no-check leaves that to the worker, as an init container does. Engines fit one TensorRT version and one kind of GPU: compile where workers run, for example in an init container."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compile, and say what became of each network."""
    settings = settings_of(options, engine__precision=options.precision)
    capability = _capability(options)
    flavour = open_flavour(options.flavour)
    target = Target(ANY_GPU, capability) if capability else _target_here(flavour, settings)
    names = tuple(name for name in NETWORKS if not options.only or name in options.only)
    console = Console(stderr=True)
    if not options.json:
        where = "every GPU" if target.gpu == ANY_GPU else target.gpu
        console.print(
            f"{flavour.label} for {where} of compute capability {target.compute_capability[0]}.{target.compute_capability[1]}",
            markup=False, highlight=False,
        )  # fmt: skip
    done: list[Compiled] = []
    try:
        for one in _compiled(console, settings, flavour, target, names, options.force):
            done.append(one)  # noqa: PERF402 - extend promises nothing about what is kept where it fails
    finally:  # where the third fails, the first two are there all the same
        if options.json:
            print_json([_row(one) for one in done])
        elif done:
            _print_table(done)
    if (
        options.check and flavour.name == "tensorrt"
    ):  # engines for RTX are for other programs, and for other GPUs at times
        rows = _checked(done, flavour, settings)
        if not options.json:
            Console().print(table_of(rows, "against ONNX Runtime in fp32, as a worker does at its start"))
    return 0


def _checked(done: list[Compiled], flavour: Flavour, settings: Settings) -> tuple[Row, ...]:
    """Parity of what was compiled; what wasn't is taken from the reference. Raises ``ModelError`` where they differ."""
    from worker.accelerate import open_compiled  # needs CUDA's bindings

    compiled = {one.network.name: one for one in done}
    with ExitStack() as stack:
        opened = {
            name: stack.enter_context(
                open_compiled(compiled[name], flavour, settings.engine)
                if name in compiled
                else open_engine(name, *REFERENCE, settings)
            )
            for name in get_args(Network)
        }
        return check_parity(Engines(**opened), "tensorrt", settings.engine.precision, settings)


def _capability(options: argparse.Namespace) -> tuple[int, int] | None:
    if options.compute_capability is None:
        return None
    if options.flavour != "rtx":
        raise InvalidSettings("--compute-capability goes with --flavour rtx: TensorRT builds for the GPU at hand alone")
    match = re.fullmatch(r"([0-9]{1,2})\.([0-9])", options.compute_capability)
    if not match:
        raise InvalidSettings(f"--compute-capability is {options.compute_capability!r}: expected one such as 8.9")
    return int(match[1]), int(match[2])


def _target_here(flavour: Flavour, settings: Settings) -> Target:
    try:
        return target_of(flavour, find_gpu(settings.engine.device))
    except NoGpu as error:
        ahead = "name the GPUs to build for with --compute-capability" if flavour.name == "rtx" else (
            "compile where workers run; TensorRT builds on the GPU it builds for"
        )  # fmt: skip
        raise NoGpu(f"{error}. Here, {ahead}") from error


def _compiled(
    console: Console, settings: Settings, flavour: Flavour, target: Target, names: tuple[str, ...], force: bool
) -> Iterator[Compiled]:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("loading")

        def told(name: str, phase: str, steps_done: int, steps: int) -> None:
            bar.update(task, description=f"{name}: {phase}, {steps_done} of {steps}")

        yield from compile_networks(settings, flavour, target, names=names, force=force, progress=told)


def _row(one: Compiled) -> dict[str, Any]:
    return {
        **asdict(one.key),
        "path": str(one.cached.path),
        "bytes": len(one.cached.plan),
        "seconds": round(one.cached.seconds, 3),
        "result": one.cached.result,
        "reason": one.cached.reason,
    }


def _print_table(done: list[Compiled]) -> None:
    table = Table("network", "precision", "seconds", "size", "", "why")
    for one in done:
        cached = one.cached
        result = "[green]built[/]" if cached.result == "built" else "in cache"
        table.add_row(
            one.network.name, one.network.precision, f"{cached.seconds:.1f}", f"{len(cached.plan) / 1e6:.1f} MB", result,
            escape(cached.reason),
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(f"in {done[0].cached.path.parent}", markup=False, highlight=False, soft_wrap=True)
