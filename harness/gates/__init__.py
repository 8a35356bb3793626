"""Today's values against the stored ones, and run against run."""
