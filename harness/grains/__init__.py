"""What can be taken out of a transformer below the block, and what can stand in for a range of blocks."""
