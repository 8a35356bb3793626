"""Which transformers of diffusers can be ablated, and how exactly: each class built small, its stacks tried out."""
