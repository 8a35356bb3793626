"""The bundled ground truth: a rendered world, its exact checker, a judge and small trained pipelines."""
