"""The `uniar` command; the only place that prints, reads the environment and chooses a device."""
