"""The command line as a whole: help, unknown words, exit codes."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from worker import __version__, commands
from worker.__main__ import COMMANDS, main
from worker.errors import FacelineError, InvalidSettings

ROOT_HELP_BANNED = ("torch", "onnxruntime", "cv2", "onnx")


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command's help ends with a line that can be typed."""
    code, out, err = outcome(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert re.search(rf"^  (\w+=\S+ )?faceline {command}\b", out, re.MULTILINE), out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With its summary."""
    code, out, _ = outcome(capsys, "--help")
    assert code == 0
    for name, summary in COMMANDS.items():
        assert f" {name} {summary} " in " ".join(out.split()) + " "


def test_every_command_has_its_module_and_the_other_way_round() -> None:
    """No command without code; no code that nobody can call."""
    files = Path(commands.__file__).parent.glob("*.py")
    assert {path.stem for path in files if "def add_arguments(" in path.read_text()} == set(COMMANDS)
    for name in COMMANDS:
        module = import_module(f"worker.commands.{name}")
        assert callable(module.add_arguments)
        assert callable(module.run)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """As in the package."""
    assert outcome(capsys, "--version")[:2] == (0, f"faceline {__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["dance"], ["config", "--dance"], ["enroll"], ["--dance", "config"]])
def test_wrong_words_are_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Usage on standard error, nothing on standard output."""
    code, out, err = outcome(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: faceline")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            FacelineError("the disk [bold]is[/] full: free some"),
            1,
            "faceline config: the disk [bold]is[/] full: free some",
        ),
        (InvalidSettings("x" * 300), 2, "faceline config: " + "x" * 300),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_told_in_one_line(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own exit code, their words as they are, no traceback."""

    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("worker.commands.config.run", fail)
    assert outcome(capsys, "config") == (code, "", text + "\n" if text else "")


def test_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What isn't ours to explain is shown with its traceback."""

    def fail(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("worker.commands.config.run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["config"])


def test_help_is_quick() -> None:
    """``faceline --help`` loads no model runtime: which modules it imported is told by the process itself."""
    script = (
        "import sys\nfrom worker.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', sorted(set({ROOT_HELP_BANNED!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_a_closed_pipe_is_no_crash() -> None:
    """``faceline config | head -0``: no traceback."""
    script = "import sys; from worker.__main__ import main; sys.exit(main(['config']))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
