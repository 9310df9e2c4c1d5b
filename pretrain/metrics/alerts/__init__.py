"""Alerts: what a run's own files tell of it, sent to people as it happens. Nothing here imports torch."""
