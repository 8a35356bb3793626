"""The bundled ground truth: a rendered world, its exact checker, a judge and small trained pipelines."""

# What ``python -m harness tiny train`` makes: one pipeline a family, and the judge. Named here without torch.
TRAINED = ("flux", "sd3", "auraflow", "judge")
