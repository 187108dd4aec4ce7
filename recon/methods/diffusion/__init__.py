"""Reconstruction with a denoiser as the prior."""
