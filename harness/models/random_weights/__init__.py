"""Checkpoints with a published architecture and random weights, for timing without a download."""
