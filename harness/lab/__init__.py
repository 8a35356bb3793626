"""Measuring: one checkpoint, its control and any number of variants; images, or forwards alone."""
