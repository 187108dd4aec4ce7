"""Download of public recordings, weights and stimuli."""
