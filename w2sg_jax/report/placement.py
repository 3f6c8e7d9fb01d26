"""Where names stand beside points so that all of them can be read; lengths in typographic points."""

from itertools import product

import numpy as np
from jaxtyping import Float

CLEARANCE = 3.0
"""Kept free around every name."""
STARTS, ROUNDS = 8, 6
"""Orders in which the names are placed, and how often each may move once all the others have a place."""
RADII, ANGLES = (6, 9, 13, 18, 24, 31, 39, 48), np.radians(np.arange(0, 360, 15))
"""Distances and directions in which a place is looked for."""
OUTSIDE, ON_NAME, ON_POINT, ON_BAR = 100.0, 40.0, 30.0, 3.0
"""What an area costs that lies outside, or on a name, on a point, on an error bar."""
CROSSED, AMBIGUOUS, DISTANCE = 80.0, 12.0, 2.0
"""What a line costs through a name or a point, and a length: nearer to another point than to its own, or away."""

Boxes = Float[np.ndarray, "boxes 4"]
"""left, bottom, right, top of each"""


def place_names(
    centres: Float[np.ndarray, "models 2"],
    low: Float[np.ndarray, "models 2"],
    high: Float[np.ndarray, "models 2"],
    sizes: Float[np.ndarray, "models 2"],
    inside: Float[np.ndarray, "4"],
) -> Boxes:
    """Chooses a rectangle for every name.

    Names are placed one by one, then moved in turns until none gets a better place; of several orders the
    one that ends best is kept. The result depends on the input alone.

    Args:
        centres: the points.
        low: left and lower ends of their error bars.
        high: right and upper ends.
        sizes: width and height of each name.
        inside: left, bottom, right, top of where names may stand.
    """
    across = np.column_stack([low[:, 0], centres[:, 1] - 0.5, high[:, 0], centres[:, 1] + 0.5])
    upright = np.column_stack([centres[:, 0] - 0.5, low[:, 1], centres[:, 0] + 0.5, high[:, 1]])
    bars, marks = np.concatenate([across, upright]), np.column_stack([centres - 4, centres + 4])
    places = [_places(centre, size) for centre, size in zip(centres, sizes, strict=True)]
    fixed = [_fixed_cost(index, centres, places[index], marks, bars, inside) for index in range(len(centres))]
    generator = np.random.default_rng(0)
    best, least = np.zeros((0, 4)), np.inf
    for _ in range(STARTS):
        boxes, cost = _settle(generator.permutation(len(centres)), centres, places, fixed)
        if cost < least:
            best, least = boxes, cost
    return best


def nearest(boxes: Boxes, point: Float[np.ndarray, "2"]) -> Float[np.ndarray, "boxes 2"]:
    """The place of each rectangle that is nearest to a point."""
    return np.clip(point, boxes[:, :2], boxes[:, 2:])


def _settle(
    order: np.ndarray, centres: np.ndarray, places: list[np.ndarray], fixed: list[np.ndarray]
) -> tuple[np.ndarray, float]:
    """Places names in an order until none moves; their rectangles and what they cost in all."""
    chosen: dict[int, int] = {}
    total = np.inf
    for _ in range(ROUNDS):
        before, total = dict(chosen), 0.0
        for index in map(int, order):
            others = [other for other in chosen if other != index]
            taken = np.array([places[other][chosen[other]] for other in others]).reshape(-1, 4)
            cost = fixed[index] + _cost(centres[index], places[index], centres[others], taken)
            chosen[index] = int(np.argmin(cost))
            total += float(cost[chosen[index]])
        if chosen == before:
            break
    return np.array([places[index][chosen[index]] for index in range(len(centres))]), total


def _places(centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Rectangles around a point, from those that touch it to those far away."""
    radius, angle = np.array(list(product(RADII, ANGLES))).T
    direction = np.column_stack([np.cos(angle), np.sin(angle)])
    corner = centre + radius[:, None] * direction - size * (1 - direction) / 2
    return np.concatenate([corner, corner + size], axis=1)


def _fixed_cost(
    index: int, centres: np.ndarray, places: np.ndarray, marks: np.ndarray, bars: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """What every place costs whatever the other names do."""
    centre, others = centres[index], np.delete(np.arange(len(centres)), index)
    ends = nearest(places, centre)
    own = np.linalg.norm(ends - centre, axis=1)
    area = np.prod(places[0, 2:] - places[0, :2])
    cost = DISTANCE * own + OUTSIDE * (area - _common(places, _grown(inside[None], -CLEARANCE))[:, 0])
    cost += ON_POINT * _common(places, marks).sum(axis=1) + ON_BAR * _common(_grown(places, 1.0), bars).sum(axis=1)
    for other in others:
        away = np.linalg.norm(nearest(places, centres[other]) - centres[other], axis=1)
        cost += AMBIGUOUS * np.maximum(own + 5 - away, 0) + CROSSED * _crosses(centre, ends, marks[other][None])[:, 0]
    return cost


def _cost(centre: np.ndarray, places: np.ndarray, others: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """What every place costs beside the names that have one."""
    crossed = _crosses(centre, nearest(places, centre), taken).sum(axis=1)
    for other, box in zip(others, taken, strict=True):
        crossed = crossed + _crosses(other, nearest(box[None], other), places)[0]
    return ON_NAME * _common(_grown(places, CLEARANCE), taken).sum(axis=1) + CROSSED * crossed


def _grown(boxes: np.ndarray, by: float) -> np.ndarray:
    return boxes + by * np.array([-1, -1, 1, 1])


def _common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Area that rectangle i of `a` and rectangle j of `b` both cover."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    return np.prod(np.maximum(sides, 0), axis=2)


def _crosses(start: np.ndarray, ends: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Whether the line from `start` to end i touches rectangle j."""
    line = start + np.linspace(0, 1, 13)[:, None, None] * (ends - start)  # (places on the line, ends, 2)
    touches = (line[:, :, None] > boxes[:, :2]) & (line[:, :, None] < boxes[:, 2:])
    return np.asarray(np.any(np.all(touches, axis=3), axis=0))
