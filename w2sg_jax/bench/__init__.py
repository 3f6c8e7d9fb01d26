"""What a machine reaches: its own limits, and times measured so that they can be held beside them."""

from .machine import Machine as Machine
from .machine import Timing as Timing
from .machine import measure_machine as measure_machine
from .machine import product_rate as product_rate
from .machine import timed as timed
from .short import Point as Point
from .short import Sizes as Sizes
from .short import advice as advice
from .short import sentence as sentence
from .short import short_bench as short_bench
from .work import Work as Work
from .work import pair as pair
from .work import pass_work as pass_work
from .work import preparing_seconds as preparing_seconds
