"""features -> pixels by flow matching; never sees a code or a word of the prompt."""
