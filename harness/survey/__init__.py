"""Which transformers of diffusers can be ablated, and how exactly: every class built small, and its stacks tried out."""
