"""Identification of stimuli from responses and of responses from stimuli: `recon identify`."""
