"""Layer ablations of diffusion transformers as test cases."""

__version__ = "0.1.0"
