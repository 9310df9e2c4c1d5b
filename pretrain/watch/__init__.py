"""What is looked at inside some steps: layers, attention, logits, histograms, projections, single tokens."""
