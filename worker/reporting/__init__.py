"""What people look at after a run: events as lines, a report page, an annotated video, a table in the terminal.

Nothing here decides anything. Reports are made from what was committed, and hold no embedding; face crops only where
the operator asked for them.
"""
