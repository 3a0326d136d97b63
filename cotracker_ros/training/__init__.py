"""Training: supervised on clips with known tracks, and by distillation from several teachers."""
