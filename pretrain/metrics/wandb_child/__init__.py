"""The process that talks to Weights & Biases for a run: `python -P -m pretrain.metrics.wandb_child`."""
