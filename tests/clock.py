"""A clock that stands still until a test moves it."""


class Clock:
    """Says what it was told."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        """The time in seconds."""
        return self.seconds
