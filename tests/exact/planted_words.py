"""Are planted word preferences found? `python tests/exact/planted_words.py [configs/language.yaml] [key=value …]`

On the recording of a configuration with graded captioners (`recon language` makes it): the area under the ROC curve
with which liking a word tells neurons planted to like it (weight of at least 1) from those that do not (at most 0), and
those that like it at all from those that dislike it.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from recon import config
from recon.analysis.language.inputs import LanguageStudy, gather
from recon.analysis.language.study import told_words
from recon.simulate.scenes import ATTRIBUTES

ROLES = {"semantic": 2, "mixed": 1}


def main(arguments: list[str]) -> None:
    """Print the areas under the curves."""
    path, *overrides = arguments or ["configs/language.yaml"]
    chosen = config.record(LanguageStudy, config.load(path, overrides), where="language")
    truth = chosen.recording / "meta" / "truth"
    planted, role = np.load(truth / "weights.npy"), np.load(truth / "role.npy")
    found = told_words(chosen, gather(chosen), "full")
    words = [word for word in found.words if word in ATTRIBUTES]
    weights = planted[:, [ATTRIBUTES.index(word) for word in words]].T
    liking = found.liking[[found.words.index(word) for word in words]].numpy()
    sys.stdout.write(f"{len(words)} words with a planted weight among {len(found.words)}: {', '.join(words)}\n")
    for name, number in ROLES.items():
        w, seen = weights[:, role == number], liking[:, role == number]
        for title, liked, other in (("liked (≥ 1) or not (≤ 0)", w >= 1, w <= 0), ("liked or disliked", w > 0, w <= 0)):
            use = liked | other
            area = roc_auc_score(liked[use], seen[use])
            sys.stdout.write(f"{name}, {int((role == number).sum())} neurons, {title}: {area:.3f}\n")
    low = torch.from_numpy(role == 0)
    false = (found.p[:, low] <= 0.05).double().nanmean()
    sys.stdout.write(f"low-level neurons: p ≤ 0.05 for {float(false):.3f} of words\n")


if __name__ == "__main__":
    main(sys.argv[1:])
