"""The autoregressive transformer: embeddings in, states and bit logits out; knows no pixels."""
