"""Factorised convolutional core with a Gaussian readout: the encoder of the demo."""
