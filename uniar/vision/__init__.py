"""image -> codes -> features; knows pixels, levels and bits, and nothing of language or diffusion."""
