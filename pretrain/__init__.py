"""Token shards to a trained model. Of data_pipeline it knows only the shards."""
