"""Every malformed, odd or hostile file of the shared corpus is decoded or refused, within a bound on memory."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

REASONS = {
    *("processed", "empty", "too_many_bytes", "unsupported_format", "bad_header", "truncated"),
    *("too_many_pixels", "too_small", "too_complex", "corrupt"),
}
# An image within the default bounds may cost 600 MB; the corpus is 1.9 MB of small files and images.
MAX_GROWTH_KB = 64_000

# Each file in a process of its own, so that a crash inside a C library names its file and the peak is its own.
DECODE_EACH = """
import json, os, resource, sys
from worker.errors import BadMessage
from worker.stages.decode import DecodeOptions, decode

def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def outcome(path):
    with open(path, "rb") as file:
        value = file.read()
    before = peak_kb()
    try:
        image = decode(value, DecodeOptions())
    except BadMessage as error:
        return error.reason, peak_kb() - before
    assert image.dtype == "uint8" and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous
    return "processed", peak_kb() - before

for path in json.load(sys.stdin):
    child = os.fork()
    if child == 0:
        try:
            reason, growth_kb = outcome(path)
        except BaseException as error:
            reason, growth_kb = repr(error), 0
        print(json.dumps([path, reason, growth_kb]), flush=True)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        print(json.dumps([path, f"crashed: status {status}", 0]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes():
    """Path, reason and growth of peak memory in kilobytes of every file of the corpus."""
    root = os.environ.get("FACELINE_TEST_DATA")
    if not root or not (Path(root) / "bad").is_dir():
        pytest.skip("FACELINE_TEST_DATA doesn't name a folder that holds bad/: the corpus is not shipped")
    paths = sorted(str(path) for path in (Path(root) / "bad").rglob("*") if path.is_file())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OPENCV_LOG_LEVEL": "SILENT"}
    run = subprocess.run(
        [sys.executable, "-c", DECODE_EACH],
        input=json.dumps(paths),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        timeout=120,
        check=True,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line[0] for line in lines] == paths
    return lines


def test_every_file_is_decoded_or_refused(outcomes, record_property):
    """Nothing but an image or a known reason; the counts go into the record of the run."""
    counts = Counter(reason for _, reason, _ in outcomes)
    for reason, count in counts.most_common():
        record_property(f"bad_files_{reason}", count)
        print(f"{count:5d} {reason}")
    assert [line for line in outcomes if line[1] not in REASONS] == []
    assert counts["processed"] > 0


def test_memory_is_bounded(outcomes, record_property):
    """No file makes the process grow beyond the bound."""
    largest = max(outcomes, key=lambda line: line[2])
    record_property("bad_files_max_growth_kb", largest[2])
    print(f"largest growth {largest[2]} kB")
    assert [line for line in outcomes if line[2] > MAX_GROWTH_KB] == []
