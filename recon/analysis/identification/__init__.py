"""Discriminative tasks: which stimulus, which response: `recon identify`."""
