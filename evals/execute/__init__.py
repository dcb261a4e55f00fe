"""Plan -> outputs on disk: batches, failures, resume, progress. Knows no scorer and no metric."""
