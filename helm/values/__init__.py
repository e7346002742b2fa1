"""What is made of the chart's ``values.yaml``: its JSON Schema and the tables of its README. ``python -m helm.values``."""
