"""Finished runs to decisions: compare, gate, baseline, power. Reads run folders through `evals.store`, draws and prints nothing."""
