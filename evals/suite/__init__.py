"""Suite files: YAML with line numbers -> checked records and their fingerprint. Knows no model, runs nothing."""
