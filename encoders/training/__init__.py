"""Training of encoders: clips, loss, optimisation loop, saved state and progress."""
