"""Methods of reconstruction; one file each, one line here."""

from __future__ import annotations

from typing import Any

from recon.learning_set import TrainingSet as TrainingSet
from recon.methods.alignment import Alignment
from recon.methods.base import Learner as Learner
from recon.methods.base import Method as Method
from recon.methods.base import fitted as fitted
from recon.methods.combined import Average, DeepEnsemble, Ensemble, Smoothed
from recon.methods.convolutional import Convolutional
from recon.methods.diffpir import DiffPir
from recon.methods.dps import Dps
from recon.methods.egg import Egg
from recon.methods.field_sum import FieldSum
from recon.methods.gradient import Gradient
from recon.methods.latent import Latent
from recon.methods.lbfgs import Lbfgs
from recon.methods.library import Library
from recon.methods.mean import Mean
from recon.methods.meicoder import Meicoder
from recon.methods.optimal_linear import OptimalLinear
from recon.methods.optimisers import Adam, Momentum, Optimiser
from recon.methods.plug_and_play import PlugAndPlay
from recon.methods.posterior import Posterior
from recon.methods.red_diff import RedDiff
from recon.methods.ridge import Ridge
from recon.methods.sample import Sample
from recon.methods.split_gibbs import SplitGibbs
from recon.methods.sta import Sta

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
    "ensemble": Ensemble,
    "deep_ensemble": DeepEnsemble,
}

OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "momentum": Momentum, "lbfgs": Lbfgs}
