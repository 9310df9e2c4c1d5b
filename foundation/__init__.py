"""What both halves stand on: config check and build, errors, atomic files, hashes, progress, the page kit.

Imports nothing of data_pipeline, pretrain or launch, and never torch.
"""
