"""A run's figures for the trackers that people have: trackio, Weights & Biases, MLflow, TensorBoard (``--dit-log``)."""
