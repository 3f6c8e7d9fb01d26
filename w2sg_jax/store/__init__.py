"""Representations, and trees of arrays, on disk: read as rows are asked for, written whole or not at all."""

from .content import content_hash as content_hash
from .representations import SUFFIXES as SUFFIXES
from .representations import check_target as check_target
from .representations import load as load
from .representations import save as save
from .representations import split_location as split_location
from .shards import Shards as Shards
