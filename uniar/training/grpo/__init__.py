"""Reinforcement learning by GRPO: prompts to rollouts to images to rewards to a per-bit clipped surrogate. Does not know `evals`."""
