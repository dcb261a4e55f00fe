"""(Sample, output, facts) -> score, one file a benchmark family. A scorer must not know which model was asked."""
