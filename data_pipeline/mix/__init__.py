"""The mixture: which documents are held out, kept and grouped, and what a training run is to read of each group."""
