"""Names of the files in the folder of a run."""

EVENTS = "events.jsonl"
TRACKS = "tracks.json"
TRACE = "trace.jsonl"
PAGE = "report.html"
VIDEO = "annotated.mp4"
