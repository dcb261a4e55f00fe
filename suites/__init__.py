"""Benchmarks as YAML, shipped as package data; see README.md here for the schema."""
