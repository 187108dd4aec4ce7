"""Input optimisation through an encoder."""
