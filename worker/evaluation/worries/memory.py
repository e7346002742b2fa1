"""How much memory this process holds, and the most it held."""

import re
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_mb() -> tuple[float, float]:
    """(now, most so far) in MB. Where there is no Linux to tell, both are the most that the kernel counted.

    What ``getrusage`` counts begins with what the parent held when it started this process, so Linux is asked first.
    """
    if _STATUS.exists():
        told = dict(re.findall(r"^(VmRSS|VmHWM):\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE))
        return int(told["VmRSS"]) * 1.024e-3, int(told["VmHWM"]) * 1.024e-3
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return most, most
