"""Image -> facts: detectors and colour classifiers. They know pixels and weights, never prompts or verdicts."""
