"""The labels of a coin's base scores at successive closes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from shared.indicators.scoring import next_label
from shared.market import Floats
from shared.messages.signals import Label

RANKS: Mapping[Label, int] = {"none": 0, "watch": 1, "candidate": 2, "strong": 3}


def label_ranks(scores: Floats) -> Floats:
    """Return the rank of the label after each score of one side, as the scanner shows it.

    Shapes: scores (closes,), oldest first -> (closes,), as in RANKS. An incomplete score (NaN)
        shows none, and the next one continues from the label before it.
    """
    ranks = np.zeros(len(scores))
    label: Label = "none"
    for index, score in enumerate(scores.tolist()):
        if math.isfinite(score):
            label = next_label(label, int(score))
            ranks[index] = RANKS[label]
    return ranks
