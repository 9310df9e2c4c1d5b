"""The process that sends a run's alerts: `python -P -m pretrain.metrics.alert_child`."""
