"""What the modifiers do, with torch: one module for each kind (they are declared in :mod:`harness.ablation`)."""
