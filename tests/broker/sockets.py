"""Sockets that kafka-python lets go of without closing them, when a connection comes to nothing."""

import gc
import warnings


def close_abandoned() -> None:
    """Let Python close them now, silently, so that it doesn't complain in the midst of another test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
