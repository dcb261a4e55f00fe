"""Suite files: YAML with line numbers -> checked, frozen records and their fingerprint. Knows no model and runs nothing."""
