"""Golden cases of OneIG-Bench's alignment score, replayed through the rules that the scorer calls."""

from __future__ import annotations

from typing import Any

from evals.scorers import oneig_alignment_rules as rules


def alignment(inputs: dict[str, Any]) -> float | None:
    """Score of one prompt from the raw answers of each of its images."""
    answers, dependencies = inputs["answers"], inputs["dependencies"]
    return rules.prompt_score(
        [
            rules.image_score({number: rules.read_exact(given[place]) for number, given in answers.items()}, dependencies)
            for place in range(inputs["num_images"])
        ]
    )
