"""The benchmark: which model to trust on your data."""

from altercell.benchmark._augmentation import augmentation, augmenters
from altercell.benchmark._augmentation_task import AugmentationTask
from altercell.benchmark._compare import compare, ranks
from altercell.benchmark._generation import generation, generation_baselines, generators
from altercell.benchmark._generation_task import GenerationTask
from altercell.benchmark._holdout import holdout
from altercell.benchmark._integration import batch_models, integration
from altercell.benchmark._integration_task import IntegrationTask
from altercell.benchmark._integrators import Integrator, integrator, integrators
from altercell.benchmark._report import report
from altercell.benchmark._response import CEILING, Prediction, ResponseTask
from altercell.benchmark._runner import Piece, WorkerError, run
from altercell.benchmark._split import HeldOut, Keys, Question, Split, labels_to_hold_out, make_split, one_label
from altercell.benchmark._store import RESULTS, complete, read_results
from altercell.benchmark._summary import HEADLINE, in_words, summary, verdict
from altercell.benchmark._task import Task
from altercell.benchmark._tuning import hold_out_inner
from altercell.benchmark._verdict import verdicts
from altercell.presets import Candidate, baselines, candidate

__all__ = [
    "CEILING",
    "HEADLINE",
    "RESULTS",
    "AugmentationTask",
    "Candidate",
    "GenerationTask",
    "HeldOut",
    "IntegrationTask",
    "Integrator",
    "Keys",
    "Piece",
    "Prediction",
    "Question",
    "ResponseTask",
    "Split",
    "Task",
    "WorkerError",
    "augmentation",
    "augmenters",
    "baselines",
    "batch_models",
    "candidate",
    "compare",
    "complete",
    "generation",
    "generation_baselines",
    "generators",
    "hold_out_inner",
    "holdout",
    "in_words",
    "integration",
    "integrator",
    "integrators",
    "labels_to_hold_out",
    "make_split",
    "one_label",
    "ranks",
    "read_results",
    "report",
    "run",
    "summary",
    "verdict",
    "verdicts",
]
