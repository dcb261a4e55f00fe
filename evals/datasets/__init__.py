"""Source -> samples. A dataset knows prompts and their rows; it must not know models, detectors or verdicts."""
