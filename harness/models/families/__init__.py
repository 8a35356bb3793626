"""One file a model family: how its pipeline is called, and what its transformer takes."""
