"""The benchmark: which model to trust on your data."""

from altercell.benchmark._candidates import Candidate, baselines, candidate, scgen
from altercell.benchmark._holdout import CEILING, Piece, holdout, read_results, run_piece, score_piece
from altercell.benchmark._split import Split, labels_to_hold_out, make_split
from altercell.benchmark._summary import HEADLINE, in_words, summary, verdict

__all__ = [
    "CEILING",
    "HEADLINE",
    "Candidate",
    "Piece",
    "Split",
    "baselines",
    "candidate",
    "holdout",
    "in_words",
    "labels_to_hold_out",
    "make_split",
    "read_results",
    "run_piece",
    "scgen",
    "score_piece",
    "summary",
    "verdict",
]
