"""What is made of ``values.yaml``: its JSON Schema and the tables of the README. ``python -m helm.values``."""
