"""Training a pruned model until it does again what the whole one does."""
