"""A clock that is turned by hand."""

from dataclasses import dataclass, field

from worker.types import MICROSECONDS

START_US = 1_770_000_000 * MICROSECONDS


@dataclass
class FakeClock:
    """Time passes only when somebody sleeps; ``extra`` seconds more in each sleep, as on a busy machine."""

    seconds: float = 0.0
    extra: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def now_us(self) -> int:
        """Microseconds since 1970."""
        return START_US + round(self.seconds * MICROSECONDS)

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Turn it on."""
        assert seconds > 0
        self.sleeps.append(seconds)
        self.seconds += seconds + self.extra
