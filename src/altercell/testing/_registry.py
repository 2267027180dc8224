"""What a check is, and which checks a model has to pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from altercell.models.base import AltercellModel

if TYPE_CHECKING:
    from altercell.testing._data import Data
    from altercell.testing._subject import Subject

_CHECKS: dict[str, Check] = {}


class NotApplicable(Exception):
    """Raised inside a check whose statement has no meaning for this model; its text says why. It is no error."""


@dataclass(frozen=True)
class Check:
    """One statement about a model, and the function that verifies it.

    Attributes
    ----------
    id
        Short name, for example ``"C6-nan"``; the part before the hyphen is the family.
    name
        The statement, in a sentence.
    function
        Takes a :class:`Subject` and raises ``AssertionError`` where the statement does not hold.
    needs, without
        Classes that the model must derive from, all of them, and those that it must not.
    verbs
        Methods that it must have.
    data
        The kind of data that the statement is about; None for both.
    heavy
        Whether it takes many seconds.
    """

    id: str
    name: str
    function: Callable[[Subject], None]
    needs: tuple[type, ...] = ()
    without: tuple[type, ...] = ()
    verbs: tuple[str, ...] = ()
    data: Data | None = None
    heavy: bool = False

    def obstacle(self, Model: type[AltercellModel], data: Data = "log") -> str | None:
        """Say why the statement is not about this model; None where it is.

        Parameters
        ----------
        Model
            The class to be checked.
        data
            The kind of data that it is checked on.
        """
        for base in self.needs:
            if not issubclass(Model, base):
                return f"{Model.__name__} is no {base.__name__}"
        for base in self.without:
            if issubclass(Model, base):
                return f"{Model.__name__} is a {base.__name__}"
        for verb in self.verbs:
            if not hasattr(Model, verb):
                return f"{Model.__name__} has no {verb}"
        return f"it is about {self.data} data" if self.data not in (None, data) else None

    def applies(self, Model: type[AltercellModel], data: Data = "log") -> bool:
        """Return whether the statement is about this model.

        Parameters
        ----------
        Model, data
            As in :meth:`obstacle`.
        """
        return self.obstacle(Model, data) is None

    def __call__(self, subject: Subject) -> None:
        """Verify the statement; see `function`."""
        self.function(subject)


def check(family: str, **options: Any) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Enter a function into the suite: its name makes the id, the first line of its docstring the statement.

    Parameters
    ----------
    family
        ``"C1"`` to ``"C12"``.
    **options
        Further attributes of :class:`Check`.
    """

    def _enter(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        name = f"{family}-{function.__name__.strip('_').replace('_', '-')}"
        statement = (function.__doc__ or "").strip().splitlines()[0]
        if name in _CHECKS:
            raise ValueError(f"there are two checks '{name}'")
        _CHECKS[name] = Check(name, statement, function, **options)
        return function

    return _enter


def all_checks() -> list[Check]:
    """Return every check of the suite, in the order of their families."""
    return sorted(_CHECKS.values(), key=lambda one: int(one.id.split("-")[0][1:]))


def checks_for(Model: type[AltercellModel], data: Data = "log", *, heavy: bool = False) -> list[Check]:
    """Return the checks that a model class has to pass.

    Parameters
    ----------
    Model
        A class that derives from :class:`~altercell.models.base.AltercellModel`.
    data
        What the model is checked on: ``"log"`` data or ``"counts"``.
    heavy
        Whether the slow ones (a killed process, memory) are among them.

    Examples
    --------
    >>> import altercell as ac
    >>> any(check.id == "C6-nan" for check in checks_for(ac.ScGen))
    True
    """
    return [one for one in all_checks() if one.applies(Model, data) and (heavy or not one.heavy)]
