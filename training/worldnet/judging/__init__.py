"""How a model is judged on a WorldNet: every combination of modalities, beside its baselines."""
