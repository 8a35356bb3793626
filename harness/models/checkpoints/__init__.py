"""From a checkpoint's name to its files: bundled, published, in the hub's cache, or a folder. No torch."""
