"""The quickstart: pretraining, representations, weak-to-strong runs and rankings on bundled molecules."""

from .result import QuickstartResult as QuickstartResult
from .run import QuickstartConfig as QuickstartConfig
from .run import run_quickstart as run_quickstart
from .zoo import DEFAULT_ZOO as DEFAULT_ZOO
from .zoo import ModelPlan as ModelPlan
from .zoo import Zoo as Zoo
