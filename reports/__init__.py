"""Run folder -> one self-contained page. Reads runs through `evals.store`, computes no score."""
