"""Spikes: judged on the device before the update, skipped, journaled, and stopped when they don't end."""
