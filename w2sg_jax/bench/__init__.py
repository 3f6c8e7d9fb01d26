"""What a machine reaches: its own limits, and times measured so that they can be held beside them."""

from .machine import Machine as Machine
from .machine import measure_machine as measure_machine
from .machine import product_rate as product_rate
from .short import Sizes as Sizes
from .short import short_bench as short_bench
from .timing import Timing as Timing
from .timing import timed as timed
from .verdict import Point as Point
from .verdict import advice as advice
from .verdict import sentence as sentence
from .work import Work as Work
from .work import pair as pair
from .work import pass_work as pass_work
from .work import preparing_seconds as preparing_seconds
