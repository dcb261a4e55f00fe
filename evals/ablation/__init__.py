"""Ablations: a grid of cells over suite and recipe settings, each stage made once, effects against a control; knows no page."""
