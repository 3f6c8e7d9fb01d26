"""What a machine reaches: its own limits, and times measured so that they can be held beside them."""

from .machine import Machine as Machine
from .machine import measure_machine as measure_machine
from .timing import Timing as Timing
from .timing import timed as timed
