"""Faceline: camera frames in, identity events out.

The distribution and the command are called ``faceline``; this is its import package.
ARCHITECTURE.md walks through the rooms in the order in which a frame passes them.
"""

__version__ = "0.1.0"
