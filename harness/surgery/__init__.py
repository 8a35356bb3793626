"""A plan on a model: the view on a stack of blocks, what proves that it took hold, and pruned copies."""
