"""What is ablated: checkpoints on disk, model families, loading and sampling."""
