"""Generalised linear model of retinal ganglion cells and its fit."""
