"""Optimizers, and the learning rate over the run."""
