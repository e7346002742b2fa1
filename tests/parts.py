"""The whole suite as two runs side by side: what talks to a broker mostly waits, what computes uses that time.

python -m tests.parts [arguments of pytest]

The computing part stands back for the other, whose tests live with timeouts. Its dots are shown as they come, the
other's output when both have ended. Each part has temporary files of its own: a --basetemp would be cleared by both.
"""

import shutil
import signal
import subprocess
import sys
from tempfile import TemporaryFile

PYTEST = (sys.executable, "-m", "pytest", "-q")


def main(arguments: list[str]) -> int:
    """Run both parts. Returns the exit code of the first that failed, 0 where both passed."""
    with TemporaryFile() as kept:
        alone = subprocess.Popen([*_behind(), *PYTEST, "-m", "not kafka", *arguments])
        with_broker = subprocess.Popen([*PYTEST, "-m", "kafka", *arguments], stdout=kept, stderr=kept)
        both = (alone, with_broker)
        signal.signal(signal.SIGINT, lambda *_: None)  # a terminal tells the parts as well, and they end in order
        signal.signal(signal.SIGTERM, lambda *_: [part.send_signal(signal.SIGINT) for part in both])
        codes = [part.wait() for part in both]
        print("\n== the tests with a broker ==", flush=True)
        kept.seek(0)
        shutil.copyfileobj(kept, sys.stdout.buffer)
    return next(filter(None, codes), 0)


def _behind() -> tuple[str, ...]:
    return ("nice", "-n", "10") if shutil.which("nice") else ()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
