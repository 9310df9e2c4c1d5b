"""The parts of a run's page, each from the files of the run."""
