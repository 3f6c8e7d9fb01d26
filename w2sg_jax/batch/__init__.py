"""Many trials: each a frozen configuration and a function of it, run once, whatever happens, and kept on disk.

Needs ``pip install "w2sg_jax[batch]"``.
"""
# ruff: noqa: E402  the modules below import what is asked for first, and would fail without a word of how to install it

from .._errors import check as _check

_check("msgspec", "pyarrow")

from .command import main as main
from .plan import load_configs as load_configs
from .records import Records as Records
from .run import Results as Results
from .run import run as run
from .trial import TrialFunction as TrialFunction
from .trial import trial as trial
