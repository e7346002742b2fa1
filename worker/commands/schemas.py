"""``faceline schemas``: the JSON Schemas and the AsyncAPI document of everything that crosses the edge."""

import argparse
import json
from pathlib import Path

import yaml

from worker.commands.options import add_settings, settings_of
from worker.contracts.asyncapi import document
from worker.contracts.catalogue import models
from worker.contracts.schema import schema
from worker.settings import Settings

ASYNCAPI = "asyncapi.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write one file a schema here (default: print the schemas)"
    )
    parser.epilog = """The AsyncAPI document tells the topics, brokers and security of your settings, without secrets.

examples:
  faceline schemas --out schemas/
  faceline schemas --config faceline.yaml --out contract/
  faceline schemas | jq '."identity-event.v1.json".properties'"""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write or print."""
    if options.out is None:
        print(json.dumps({name: schema(model) for name, model in models().items()}, indent=2))
        return 0
    settings = settings_of(options)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in files(settings).items():
        (options.out / name).write_text(text)
    return 0


def files(settings: Settings) -> dict[str, str]:
    """Text by file name."""
    written = {name: json.dumps(schema(model), indent=2, ensure_ascii=False) + "\n" for name, model in models().items()}
    text = yaml.dump(document(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    written[ASYNCAPI] = str(text)
    return written


class _Dumper(yaml.SafeDumper):
    """Paragraphs as they are read."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(str, _Dumper.represent_str)
