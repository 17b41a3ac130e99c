"""The labels of a coin's base scores at successive closes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shared.indicators.scoring import CANDIDATE, CANDIDATE_KEPT, STRONG, STRONG_KEPT, WATCH
from shared.market import Floats
from shared.messages.signals import Label

RANKS: Mapping[Label, int] = {"none": 0, "watch": 1, "candidate": 2, "strong": 3}


def label_ranks(scores: Floats) -> Floats:
    """Return the rank of the label after each score of one side, as the scanner shows it.

    Shapes: scores (closes,), oldest first -> (closes,), as in RANKS. An incomplete score (NaN)
        shows none, and the next one continues from the label before it.
    Source: `next_label` close by close, from no label on.
    """
    ranks = np.where(scores >= WATCH, 1.0, 0.0)
    for rank, (least, kept) in ((2, (CANDIDATE, CANDIDATE_KEPT)), (3, (STRONG, STRONG_KEPT))):
        # kept: the newest score that decides was one that reaches the label
        decides = np.where((scores >= least) | (scores < kept), np.arange(len(scores)), -1)
        newest = np.maximum.accumulate(decides)
        ranks[(newest >= 0) & (scores[newest] >= least) & ~np.isnan(scores)] = rank
    return ranks
