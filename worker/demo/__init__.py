"""The demo's footage and scene. Needs the extra ``demo``."""
