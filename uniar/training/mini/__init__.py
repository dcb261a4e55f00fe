"""The recipe of the bundled checkpoint: the real architecture at small size, trained on the synthetic world of shapes."""
