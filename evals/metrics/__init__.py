"""Scores -> metrics with intervals and coverage. Pure: knows no file, no model and no suite."""
