"""``faceline``: the command line."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from rich.console import Console

from worker import __version__
from worker.errors import FacelineError

# Modules are imported when their command is chosen, so that --help is quick and serving never sees training.
COMMANDS = {
    "run": "serve a Kafka cluster: camera frames in, identity events out",
    "demo": "play a short scene with the built-in models and say where to look",
    "recognize": "name the people in a video or a folder of images",
    "enroll": "add a person to the gallery from photos",
    "forget": "delete a person from the gallery",
    "people": "list who is enrolled",
    "gallery": "back up the gallery's topic into a file, and restore it",
    "explain": "why an event says what it says",
    "publish": "send a video, a folder of images or a live camera to the frames topic",
    "events": "follow identity events as a table or as JSON lines",
    "replay": "run a range of frames again and compare with what was published",
    "dlq": "list dead letters and publish them again",
    "models": "list, fetch and verify model files",
    "compile": "build the TensorRT engines of all models, before workers need them",
    "compare": "hold an engine or a precision against the reference",
    "topics": "create and check the topics on Kafka, print the rights that users need",
    "doctor": "check settings, models, gallery, broker, topics, rights, and say what to do",
    "probe": "ask the worker on this machine whether it is started, ready, alive",
    "config": "show the effective settings",
    "schemas": "write the JSON Schemas of all messages, and the AsyncAPI document",
    "train": "train the recognizer on folders of images and clips (needs the extra 'train')",
    "tune": "search for a recipe that trains the recognizer better (needs the extra 'train')",
    "evaluate": "cross-validate the recognizer against simpler rules on folders of images (needs the extra 'train')",
    "bench": "measure speed and memory against a plain OpenCV loop",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong settings or arguments, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what OpenCV says of bad files is said by us, with a reason
    parser = _parser(arguments)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except FacelineError as error:
        text = f"faceline {options.command}: {error}"
        Console(stderr=True).print(text, style="red", markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faceline",
        description="Camera frames in, identity events out: faces followed, read by an LSTM, named or not, and why.",
        epilog="Try 'faceline demo', then 'faceline recognize --help'. Settings: 'faceline config'.",
    )
    parser.add_argument("--version", action="version", version=f"faceline {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        if name == chosen:
            import_module(f"worker.commands.{name}").add_arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
