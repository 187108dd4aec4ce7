"""Every registered method with tiny settings, for the worlds of `worlds.linear`."""

from __future__ import annotations

from typing import Any

from worlds import linear as worlds

from recon.encoders.training.loop import Learning
from recon.methods import (
    Alignment,
    Average,
    Convolutional,
    DeepEnsemble,
    DiffPir,
    Dps,
    Egg,
    FieldSum,
    Gradient,
    Latent,
    Library,
    Mean,
    Meicoder,
    OptimalLinear,
    PlugAndPlay,
    Posterior,
    ReconstructionEnsemble,
    RedDiff,
    Ridge,
    Sample,
    Smoothed,
    SplitGibbs,
    Sta,
)
from recon.methods.linear.lags import Lags
from recon.methods.neural.frame_network import FrameArchitecture
from recon.methods.neural.latent import Contrastive, Movies, RidgeReader
from recon.methods.neural.network import DecoderArchitecture
from recon.methods.neural.towers import TowerSettings
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.first_order import Adam, Momentum
from recon.methods.optimise.lbfgs import Lbfgs
from recon.methods.optimise.stopping import SelectionStop
from recon.methods.optimise.subclip_steps import SubClips

LAGS = Lags(0, 3, 4)
MAP = Gradient(iterations=6, parameterisation="spectrum", optimiser=Lbfgs(memory=3), prior=1.0)
PUBLISHED = Gradient(iterations=8, optimiser=Momentum(0.5, warmup=2), subclips=SubClips(8, 4))
METHOD_TABLE: dict[str, Any] = {
    "mean": Mean(),
    "sta": Sta(lags=LAGS, root=False),
    "ridge": Ridge(lags=LAGS, folds=3),
    "field_sum": FieldSum(lags=Lags(0, 3, 4)),
    "optimal_linear": OptimalLinear(lags=LAGS),
    "library": Library(window=4, stride=1, best=5),
    "library posterior": Library(window=5, stride=2, best=9, beta=0.5),
    "convolutional": Convolutional(
        DecoderArchitecture(2, 2, LAGS, (4, 6)), Learning(steps=6, validate_every=3), batch=2, frames=12, margin=2
    ),
    "convolutional distilled": Convolutional(
        DecoderArchitecture(2, 1, LAGS, (4,)), Learning(steps=4), batch=2, frames=12, margin=2, distilled=0.5
    ),
    "convolutional adversarial": Convolutional(
        DecoderArchitecture(2, 1, LAGS, (4,)), Learning(steps=4), batch=2, frames=12, margin=2, adversarial=0.1
    ),
    "meicoder": Meicoder(
        FrameArchitecture(2, 2, LAGS, 4, 3), Learning(steps=6, validate_every=3), batch=2, frames=12, margin=2
    ),
    "latent": Latent(Movies(worlds.autoencoder()), RidgeReader(lags=LAGS)),
    "latent contrastive": Latent(
        Movies(worlds.autoencoder()), Contrastive(8, LAGS, Learning(steps=4), batch=4, frames=8, dropout=0.0)
    ),
    "alignment": Alignment(
        TowerSettings(4, 6, 2, 8, 2, LAGS), Learning(steps=5, validate_every=3), batch=4, frames=(6, 8), window=4
    ),
    "gradient adam": Gradient(iterations=6, optimiser=Adam(0.02)),
    "gradient published": PUBLISHED,
    "gradient map": MAP,
    "gradient map from ridge": Gradient(
        iterations=4, parameterisation="spectrum", optimiser=Lbfgs(), prior=1.0, start=Ridge(lags=LAGS, folds=3)
    ),
    "gradient map around ridge": Gradient(
        iterations=5, parameterisation="spectrum", optimiser=Lbfgs(), prior=1.0, centre=Ridge(lags=LAGS, folds=3)
    ),
    "gradient pyramid with total variation": Gradient(
        iterations=5, parameterisation="pyramid", optimiser=Lbfgs(), energies={"total_variation": 0.1}
    ),
    "gradient power law": Gradient(iterations=5, parameterisation="power_law", optimiser=Adam(0.2), prior=0.5),
    "gradient stopped": Gradient(iterations=9, optimiser=Adam(0.02), stop=SelectionStop(every=2, patience=2)),
    "egg noisy": Egg(levels=4, scale=0.5),
    "dps noisy": Dps(levels=4),
    "split_gibbs noisy": SplitGibbs(iterations=5, burn=2, levels=2, langevin=2),
    "diffpir": DiffPir(levels=3, data=DataStep(steps=3), noise=0.0),
    "diffpir noisy": DiffPir(levels=3, data=DataStep(steps=2), start=Ridge(lags=LAGS, folds=3)),
    "diffpir carried noisy": DiffPir(levels=3, data=DataStep(steps=2), carried=True),
    "red_diff noisy": RedDiff(iterations=4),
    "sample noisy": Sample(levels=3, noise=0.5),
    "sample noisy from ridge": Sample(levels=2, highest=0.3, start=Ridge(lags=LAGS, folds=3)),
    "posterior noisy": Posterior(DiffPir(levels=2, data=DataStep(steps=2)), 3),
    "plug_and_play": PlugAndPlay(iterations=4),
    "smoothed": Smoothed(PUBLISHED, (1.0, 0.5, 0.5)),
    "average": Average({"map": MAP, "ridge": Ridge(lags=LAGS, folds=3)}, {"map": 1.0, "ridge": 3.0}),
    "ensemble": ReconstructionEnsemble(MAP),
    "deep_ensemble": DeepEnsemble(
        Convolutional(DecoderArchitecture(2, 2, LAGS, (4,)), Learning(steps=3), batch=2, frames=12, margin=2), (0, 3)
    ),
}
ITERATIVE = [name for name in METHOD_TABLE if name.startswith(("gradient", "smoothed")) and "stopped" not in name]
