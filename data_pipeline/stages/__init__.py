"""The stages, a module each: what each one reads, decides and writes. Their order is data_pipeline.pipeline's."""
