"""The process that writes TensorBoard's files for a run: `python -P -m pretrain.metrics.tensorboard_child`."""
