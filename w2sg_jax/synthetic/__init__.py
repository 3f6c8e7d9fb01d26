"""Distributions with known answers: representations whose errors and gaps are known in closed form.

Everything here is in the paper's raw form: neither centred nor scaled (``center=False, scale="none"`` elsewhere),
ridges added to K/n, second moments divided by n; errors are squared, against the noiseless target, exact over fresh
samples.

A population is made by a family (``low_rank``, ``spiked``, ``correlated_pair``, ``error_correction``,
``error_copying``) with tails of a law (``NoTail``, ``GaussianTail``, ``IndependentTail``, ``EllipticalTail``);
``limit`` says where everything tends to, ``samples`` draws arrays, ``simulate`` fits heads for many populations and
seeds.
"""

from ._conditions import Conditions as Conditions
from ._conditions import conditions as conditions
from ._draw import Draw as Draw
from ._draw import Samples as Samples
from ._draw import draw as draw
from ._draw import samples as samples
from ._entries import Entries as Entries
from ._entries import gaussian as gaussian
from ._entries import rademacher as rademacher
from ._entries import student_t as student_t
from ._families import correlated_pair as correlated_pair
from ._families import error_copying as error_copying
from ._families import error_correction as error_correction
from ._families import low_rank as low_rank
from ._families import spiked as spiked
from ._heads import Measured as Measured
from ._heads import Predicted as Predicted
from ._heads import measure as measure
from ._heads import predict as predict
from ._population import EffectiveRidges as EffectiveRidges
from ._population import Limit as Limit
from ._population import Population as Population
from ._population import correlation_dimension as correlation_dimension
from ._population import effective_ridges as effective_ridges
from ._population import function_smoother as function_smoother
from ._population import inherited_variance as inherited_variance
from ._population import limit as limit
from ._simulate import Simulation as Simulation
from ._simulate import simulate as simulate
from ._simulate import stack as stack
from ._tails import EllipticalTail as EllipticalTail
from ._tails import GaussianTail as GaussianTail
from ._tails import Grams as Grams
from ._tails import IndependentTail as IndependentTail
from ._tails import NoTail as NoTail
from ._tails import Tail as Tail
from ._tails import wishart as wishart
