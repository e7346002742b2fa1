"""``faceline models``: list, pull, verify."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.commands.options import add_settings, print_json, settings_of
from worker.engines.int8 import int8_of, int8_path, load_int8, prepare_int8
from worker.engines.models import EMBEDDER, Manifest, load, load_recognizer, manifests, prepared_path
from worker.engines.pull import pull
from worker.errors import InvalidSettings, ModelError
from worker.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument("action", choices=["list", "pull", "verify"], nargs="?", default="list")
    parser.add_argument("--from", dest="folder", type=Path, metavar="FOLDER", help="look for the files here first")
    parser.add_argument("--force", action="store_true", help="fetch again even what is intact")
    parser.add_argument("--json", action="store_true", help="as JSON (list, verify)")
    parser.epilog = """examples:
  faceline models                     what is needed, from where, under which licence, and what is there
  faceline models pull                fetch, check and prepare what is missing
  faceline models pull --from usb/    without a network: the published ONNX files lie in usb/
  faceline models verify              check every digest; exit code 1 where one is wrong"""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the action."""
    settings = settings_of(options)
    if options.action == "pull":
        for manifest in manifests().values():
            pull(manifest, settings.models.dir, folder=options.folder, force=options.force, report=print)
        _make_int8(settings, force=options.force)
        return 0
    rows = [_published(manifest, settings) for manifest in manifests().values()]
    rows += [*_int8(settings), _recognizer(settings)]
    if options.json:
        print_json(rows)
    else:
        _print_table(rows)
    for row in rows:
        if options.action == "verify" and row["problem"] and not options.json:
            print(row["problem"])
    return 1 if options.action == "verify" and any(row["problem"] for row in rows) else 0


def _published(manifest: Manifest, settings: Settings) -> dict[str, Any]:
    problem = None
    try:
        load(manifest, settings.models.dir)
    except ModelError as error:
        problem = str(error)
    return {
        "name": manifest.name,
        "role": manifest.role,
        "licence": manifest.licence,
        "bytes": manifest.bytes,
        "sha256": manifest.sha256,
        "path": str(prepared_path(manifest, settings.models.dir)),
        "sources": [getattr(s, "requirement", None) or getattr(s, "url", "") for s in manifest.sources],
        "problem": problem,
    }


def _make_int8(settings: Settings, *, force: bool) -> None:
    """Whoever doesn't run int8 can do without it, and is told."""
    try:
        prepare_int8(manifests()[EMBEDDER], settings.models.dir, force=force, report=print)
    except (ModelError, InvalidSettings) as error:
        if settings.engine.precision == "int8":
            raise
        print(f"{error} (needed for engine.precision int8 only)")


def _int8(settings: Settings) -> list[dict[str, Any]]:
    """Told where it is there, or ought to be."""
    manifest = manifests()[EMBEDDER]
    path = int8_path(manifest, settings.models.dir, "uint8")
    if not path.exists() and settings.engine.precision != "int8":
        return []
    row: dict[str, Any] = {"name": f"{manifest.name} int8", "role": manifest.role, "licence": manifest.licence}
    row |= {"path": str(path), "sources": ["made by 'faceline models pull'"], "problem": None}
    row |= {"bytes": path.stat().st_size if path.exists() else 0, "sha256": int8_of(manifest).sha256["uint8"]}
    try:
        load_int8(manifest, settings.models.dir, "uint8")
    except ModelError as error:
        row["problem"] = str(error)
    return [row]


def _recognizer(settings: Settings) -> dict[str, Any]:
    folder = settings.models.recognizer_dir
    row: dict[str, Any] = {"name": "recognizer", "role": "recognizer", "licence": "see docs/model-card.md"}
    row |= {"path": str(folder) if folder else "in the package", "sources": ["faceline train"], "problem": None}
    try:
        model = load_recognizer(folder)
        row |= {"bytes": len(model.recognizer) + len(model.enrol), "sha256": model.digest}
    except ModelError as error:
        row |= {"bytes": 0, "sha256": "", "problem": str(error)}
    return row


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = Table("model", "role", "licence", "size", "sha256", "state", "where")
    for row in rows:
        state = "[red]not usable[/]" if row["problem"] else "[green]digest checked[/]"
        size = f"{row['bytes'] / 1e6:.1f} MB"
        table.add_row(row["name"], row["role"], row["licence"], size, row["sha256"][:12], state, escape(row["path"]))
    Console().print(table)
