"""The models that every check runs on, with the arguments that keep them small."""

from __future__ import annotations

import altercell as ac
from altercell.models.baselines import MeanShift, NoChange, PCAShift, RandomStimulated, RidgeShift, StimulatedMean
from altercell.testing import Subject

SMALL = {"n_hidden": 32, "n_latent": 8}
# At the paper's step a network this small would need minutes to learn.
LEARNING = {"max_epochs": 40, "plan_kwargs": {"lr": 1e-2, "eps": 1e-4}}

NO_DELTA = "the baseline of no change predicts the control cells themselves"

SUBJECTS = [
    Subject(ac.ScGen, arguments=SMALL, learning_arguments=LEARNING),
    Subject(
        ac.ScGen,
        name="ScGen-nb",
        arguments={**SMALL, "gene_likelihood": "nb"},
        learning_arguments=LEARNING,
        data="counts",
    ),
    Subject(
        ac.ScGen,
        name="ScGen-zinb-totals",
        arguments={**SMALL, "gene_likelihood": "zinb"},
        setup_arguments={"size_factor_key": "size_factor"},
        learning_arguments=LEARNING,
        data="counts",
    ),
    Subject(NoChange, known_failures={"C3-beats-no-change": NO_DELTA, "C3-delta-above-floor": NO_DELTA}),
    Subject(StimulatedMean),
    Subject(RandomStimulated),
    Subject(MeanShift),
    Subject(PCAShift),
    Subject(RidgeShift),
]
