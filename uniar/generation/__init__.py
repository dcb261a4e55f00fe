"""One visual token at a time: prompts, sampling of bits, the rollout."""
