"""``python -m w2sg_jax.cli``: the `w2sg` command, where it is not on the PATH."""

import sys

from .main import main

sys.exit(main())
