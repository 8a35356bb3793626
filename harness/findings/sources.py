"""Where the claims were published."""

BLOG_SOURCE = 'the blog "Extending Transformer layers as Painters to DiT\'s"'
SD35_SOURCE = "the SD3.5-Large layer-wise analysis"
