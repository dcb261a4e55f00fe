"""What an answer about an image is worth: the published rules of the understanding benchmarks, pure; it must not know datasets, models or judges."""
