"""The search for blocks that can go together: which set of them changes the model least at a given saving."""
