"""Captions of stimuli as predictors of single-neuron responses."""
