"""Statistics of scores that come in prompts: numbers in, numbers out. Knows arrays, no run folder, no suite, no file."""
