"""Reconstruction methods by name."""

from __future__ import annotations

from typing import Any

from recon.methods.base import Learner as Learner
from recon.methods.base import Method as Method
from recon.methods.base import fitted as fitted
from recon.methods.combined import Average, DeepEnsemble, ReconstructionEnsemble, Smoothed
from recon.methods.diffusion.diffpir import DiffPir
from recon.methods.diffusion.dps import Dps
from recon.methods.diffusion.egg import Egg
from recon.methods.diffusion.plug_and_play import PlugAndPlay
from recon.methods.diffusion.posterior import Posterior
from recon.methods.diffusion.red_diff import RedDiff
from recon.methods.diffusion.sample import Sample
from recon.methods.diffusion.split_gibbs import SplitGibbs
from recon.methods.linear.field_sum import FieldSum
from recon.methods.linear.mean import Mean
from recon.methods.linear.optimal_linear import OptimalLinear
from recon.methods.linear.ridge import Ridge
from recon.methods.linear.sta import Sta
from recon.methods.neural.alignment import Alignment
from recon.methods.neural.convolutional import Convolutional
from recon.methods.neural.latent import Latent
from recon.methods.neural.library import Library
from recon.methods.neural.meicoder import Meicoder
from recon.methods.optimise.first_order import Adam, Momentum, Optimiser
from recon.methods.optimise.gradient import Gradient
from recon.methods.optimise.lbfgs import Lbfgs
from recon.methods.text.decoder import Decoded
from recon.methods.text.sources import Given, Typed
from recon.methods.training_set import TrainingSet as TrainingSet
from recon.priors.prior import TextSource

METHODS: dict[str, type[Any]] = {
    "mean": Mean,
    "sta": Sta,
    "ridge": Ridge,
    "field_sum": FieldSum,
    "optimal_linear": OptimalLinear,
    "library": Library,
    "convolutional": Convolutional,
    "meicoder": Meicoder,
    "latent": Latent,
    "alignment": Alignment,
    "gradient": Gradient,
    "egg": Egg,
    "dps": Dps,
    "diffpir": DiffPir,
    "plug_and_play": PlugAndPlay,
    "split_gibbs": SplitGibbs,
    "red_diff": RedDiff,
    "sample": Sample,
    "posterior": Posterior,
    "smoothed": Smoothed,
    "average": Average,
    "ensemble": ReconstructionEnsemble,
    "deep_ensemble": DeepEnsemble,
}

OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "momentum": Momentum, "lbfgs": Lbfgs}

TEXTS: dict[str, type[TextSource]] = {"given": Given, "typed": Typed, "decoded": Decoded}
