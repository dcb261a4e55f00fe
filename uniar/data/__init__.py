"""Bytes -> training samples, and the synthetic world of shapes."""
