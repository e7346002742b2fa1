"""The whole suite as two runs side by side: what talks to a broker mostly waits, what computes uses that time.

python -m tests.parts [arguments of pytest, but no -m]

The computing part stands back for the other, whose tests live with timeouts. Its dots are shown as they come, the
other's output when both have ended; until then it is out/tests-with-a-broker.log. Each part has temporary files of its
own: a --basetemp would be cleared by both.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

PYTEST = (sys.executable, "-m", "pytest", "-q")
LOG = Path("out") / "tests-with-a-broker.log"
NOTHING_SELECTED = 5  # pytest's exit code


def main(arguments: list[str]) -> int:
    """Run both parts. Returns the exit code of the first that failed, 0 where both passed or one had nothing to do."""
    if any(argument.startswith("-m") for argument in arguments):
        print("tests.parts takes no -m, it divides by that itself: use pytest", file=sys.stderr)
        return 4
    LOG.parent.mkdir(exist_ok=True)
    # A terminal tells the parts as well, and they end in order. Set before they start: what is ignored is inherited, as
    # by whatever a shell runs in the background, and would leave them deaf.
    signal.signal(signal.SIGINT, lambda *_: None)
    with LOG.open("wb") as kept:
        alone = subprocess.Popen([*_behind(), *PYTEST, "-m", "not kafka", *arguments])
        with_broker = subprocess.Popen([*PYTEST, "-m", "kafka", *arguments], stdout=kept, stderr=kept)
        both = (alone, with_broker)
        signal.signal(signal.SIGTERM, lambda *_: [part.send_signal(signal.SIGINT) for part in both])
        codes = [part.wait() for part in both]
    print("\n== the tests with a broker ==", flush=True)
    with LOG.open("rb") as kept:
        shutil.copyfileobj(kept, sys.stdout.buffer)
    return _code(codes)


def _code(codes: list[int]) -> int:
    """Of both parts together: that one selects nothing is no failure, unless neither does."""
    if all(code == NOTHING_SELECTED for code in codes):
        return NOTHING_SELECTED
    return next((code for code in codes if code not in (0, NOTHING_SELECTED)), 0)


def _behind() -> tuple[str, ...]:
    return ("nice", "-n", "10") if shutil.which("nice") else ()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
