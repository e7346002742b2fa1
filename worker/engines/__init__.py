"""Engines: the only code that executes a model."""
