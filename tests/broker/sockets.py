"""Sockets that kafka-python lets go of without closing them, when a connection comes to nothing."""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def abandoned_sockets() -> Iterator[None]:
    """Around a connection that fails: its sockets are closed at the end, and not in the midst of another test.

    Nothing is logged meanwhile, since pytest keeps log records, and with them errors, frames and sockets.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
            gc.collect()
