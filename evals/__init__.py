"""Measurement: what is asked, judged, counted and kept. Knows `uniar` only through plugins; never imports `reports`."""
