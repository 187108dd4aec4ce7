"""Training of encoders, decoders, autoencoders, priors and masks: `recon train`."""
