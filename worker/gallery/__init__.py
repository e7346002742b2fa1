"""The gallery: who enrolled, with which templates, for what purpose and until when."""
