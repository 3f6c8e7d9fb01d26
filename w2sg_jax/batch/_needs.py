"""What the batch driver needs beside the package's own dependencies."""

from importlib.util import find_spec

from .._errors import InputError


def check(*packages: str, extra: str = "batch") -> None:
    """Refuse to go on without these packages, which an extra brings (InputError)."""
    for package in packages:
        if find_spec(package) is None:
            raise InputError(f'{package} is not installed: pip install "w2sg_jax[{extra}]"')
