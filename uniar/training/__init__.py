"""Stages of training: losses as functions, one loop, a stage = settings + build() + step(). Does not know `evals`."""
