"""Grafana dashboards as code; ``python -m helm.dashboards`` writes them as JSON, and a test compares the two."""
