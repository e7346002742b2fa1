"""Sequences that a camera took, as they are and made harder: the same opponents and metrics as the evaluation has."""
