"""The names of the pipeline's stages, in their order."""

ALL = ["clean", "filter", "exact", "near", "paragraphs", "split", "decontaminate", "sample", "augment"]
ALL += ["tokenizer", "shards"]
