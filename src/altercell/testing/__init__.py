"""Checks that every model of altercell passes, to be run on a model of your own.

A model that derives from :class:`altercell.models.base.AltercellModel` promises more than to run: the same bits from
the same seed, a clear error for bad data, files that run no code, an answer that depends on neither the order nor the
company of the cells, no look at held-out cells. :func:`check_model` verifies these promises, as scikit-learn's
``check_estimator`` does for estimators, on 200 simulated cells:

.. code-block:: python

    from altercell.testing import check_model

    report = check_model(MyModel, arguments={"n_hidden": 16}, train_arguments={"max_epochs": 3})
    print(report)

Which checks apply is read from the classes that the model derives from: a
:class:`~altercell.models.base.ResponseModel` has to predict, a :class:`~altercell.models.base.GenerativeModel` to
generate, a :class:`~altercell.models.base.TrainingMixin` to resume a killed training and to stop at NaN. The families:

* C1, the whole life: registration, training, every verb, files, on dense, sparse, backed and multimodal data;
* C2, finite losses, and a gradient that reaches every parameter;
* C3, it learns: a held-out response on simulated cells is predicted better than by no change;
* C4, seeds; C5, killed and resumed; C6, bad input; C7, damaged and hostile files; C8, invariance;
* C9, the caller's data stay as they were; C10, NaN in training; C11, memory (heavy); C12, no leak of held-out cells.

What a model is known not to hold is declared with its reason, as in
``known_failures={"C8-subset": "draws without replacement"}``; a declared failure that does not fail is reported as an
error, so that no declaration outlives its cause. In a test suite, :func:`parametrize_with_checks` makes one test of
each check:

.. code-block:: python

    from altercell.testing import Subject, parametrize_with_checks


    @parametrize_with_checks([Subject(MyModel, arguments={"n_hidden": 16})])
    def test_my_model(verify):
        verify()

Two things are left to the model's own tests: that each term of its loss equals the paper's equation, and how well it
predicts beyond the floor asked for here.
"""

from altercell.testing import (  # noqa: F401 - what is imported enters its checks
    _bad_cells,
    _bad_groups,
    _bad_request,
    _bad_values,
    _files,
    _formats,
    _invariance,
    _leak,
    _learning,
    _life,
    _mathematics,
    _memory,
    _nan,
    _randomness,
    _resume,
    _saving,
    _untouched,
)
from altercell.testing._registry import Check, NotApplicable, checks_for
from altercell.testing._report import Outcome, Report
from altercell.testing._run import check_model, parametrize_with_checks, run_check
from altercell.testing._subject import Subject

__all__ = [
    "Check",
    "NotApplicable",
    "Outcome",
    "Report",
    "Subject",
    "check_model",
    "checks_for",
    "parametrize_with_checks",
    "run_check",
]
