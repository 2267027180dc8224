"""The errors that altercell raises: one small family, each also a ``ValueError`` or a ``KeyError``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class AltercellError(Exception):
    """Base of every error that altercell raises on purpose."""


class DataError(AltercellError, ValueError):
    """The values or the shape of the data cannot be used as they are."""


class KeyNotFoundError(AltercellError, KeyError):
    """A column, a layer or a modality that was named is not in the data."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; a sentence should read as one.
        return str(self.args[0]) if self.args else ""


class GroupError(AltercellError, ValueError):
    """A condition or a label is unknown, empty, or asked for in a way that has no meaning."""


class GeneMismatchError(DataError):
    """The genes of two data sets do not match by name."""


class SpaceMismatchError(DataError):
    """Two data sets are not in the same space, for example counts against log data."""


class NotTrainedError(AltercellError, ValueError):
    """A verb needs a trained model, or training cells that the model does not have."""


class ModelFileError(AltercellError, ValueError):
    """A model file or a resume file is damaged, of another class or of another version."""


class NonFiniteLossError(AltercellError, ValueError):
    """Training met a loss or a weight that is NaN or infinite."""


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Write names for an error message, separated by commas, at most `limit` of them; text is quoted, numbers are not.

    Parameters
    ----------
    names
        What to list, in the order to be shown.
    limit
        How many to write out before "and n more".

    Returns
    -------
    The text, for example ``'B cells', 'NK cells' and 3 more``; ``none`` where there is nothing to list.

    Examples
    --------
    >>> listing(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    quoted = [named(name) for name in names]
    if not quoted:
        return "none"
    text = ", ".join(quoted[:limit])
    return text if len(quoted) <= limit else f"{text} and {len(quoted) - limit} more"


def named(value: object) -> str:
    """Write one value for an error message: text is quoted, so that '1' is not taken for 1.

    Parameters
    ----------
    value
        What to write.

    Examples
    --------
    >>> named("1"), named(1)
    ("'1'", '1')
    """
    return f"'{value}'" if isinstance(value, str) else str(value)


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise where an argument with closed options has none of them.

    Parameters
    ----------
    name, value, allowed
        The argument, what was given, and the options.

    Raises
    ------
    DataError
        `value` is not among `allowed`.
    """
    if value not in allowed:
        raise DataError(f"{name}='{value}' is unknown; there are {listing(allowed)}")
