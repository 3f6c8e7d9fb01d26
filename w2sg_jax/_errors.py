"""The one exception for misuse."""

from importlib.util import find_spec


class InputError(ValueError):
    """Input that the method cannot use; the message names it and says what to do."""


def check(*packages: str, extra: str = "batch") -> None:
    """Refuse to go on without these packages, which an extra brings (InputError)."""
    for package in packages:
        if find_spec(package) is None:
            raise InputError(f'{package} is not installed: pip install "w2sg_jax[{extra}]"')
