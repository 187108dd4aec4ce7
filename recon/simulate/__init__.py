"""Simulated recordings of mouse V1 with known ground truth."""

from recon.simulate.recording import simulate, simulate_movie_responses
from recon.simulate.settings import TINY, SimulationSettings

__all__ = ["TINY", "SimulationSettings", "simulate", "simulate_movie_responses"]
