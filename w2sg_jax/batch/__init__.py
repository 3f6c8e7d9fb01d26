"""Many trials: each a frozen configuration and a function of it, run once, whatever happens, and kept on disk.

Needs ``pip install "w2sg_jax[batch]"``.
"""

from ._needs import check as _check

_check("msgspec", "pyarrow")

from .command import main as main  # noqa: E402
from .plan import load_configs as load_configs  # noqa: E402
from .records import Records as Records  # noqa: E402
from .run import Results as Results  # noqa: E402
from .run import run as run  # noqa: E402
from .trial import TrialFunction as TrialFunction  # noqa: E402
from .trial import trial as trial  # noqa: E402
