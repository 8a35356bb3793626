"""Angular records of the layers, and the weighting of a LoKr by them."""
