"""What an answer about an image is worth: the published rules of understanding benchmarks, pure; it knows no dataset, model or judge."""
