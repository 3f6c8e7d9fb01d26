"""What can be said of a SMILES string by its grammar alone: brackets, branches, ring closures, atoms, bonds.

Whether a chemist would believe the molecule (valences, aromaticity) takes a chemistry library.
Grammar: Weininger, J. Chem. Inf. Comput. Sci. 28, 31 (1988), and the OpenSMILES specification.
"""

import re
from collections.abc import Sequence

from .._errors import InputError

TOKEN = re.compile(
    r"(?P<bracket>\[[0-9]*(?P<element>[A-Z][a-z]?|[a-z]{1,2}|\*)[^\[\]]*\])"
    r"|(?P<atom>Br|Cl|[BCNOPSFI]|[bcnops]|\*)"
    r"|(?P<ring>%[0-9]{2}|[0-9])"
    r"|(?P<bond>[-=#$:/\\~])"
    r"|(?P<open>\()|(?P<close>\))|(?P<dot>\.)"
)

_BY_PERIOD = (
    "H He",
    "Li Be B C N O F Ne",
    "Na Mg Al Si P S Cl Ar",
    "K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr",
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe",
    "Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn",
    "Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og",
)
_AROMATIC = "b c n o p s se as te si"
ELEMENTS = frozenset(" ".join([*_BY_PERIOD, _AROMATIC, "D T *"]).split())
"""What may stand in a bracket atom: the 118 elements; aromatic ones; deuterium and tritium, which chemistry libraries
read by these letters too; and * for any element."""
NAMES = {"ring": "a ring closure", "open": "a branch", "close": "a closing bracket", "dot": "a dot"}
SHOWN = 3
"""Rows that an error shows."""
LONGEST = 60
"""Letters of a row that it shows."""


def refuse_invalid(smiles: Sequence[str], name: str) -> None:
    """InputError where a text is no SMILES: all such rows are counted, the first are named."""
    wrong = [(row, problem) for row, one in enumerate(smiles) if (problem := problem_of(one)) is not None]
    if wrong:
        shown = "; ".join(f"row {row}, {smiles[row][:LONGEST]!r}: {problem}" for row, problem in wrong[:SHOWN])
        raise InputError(f"{name}: {len(wrong)} of {len(smiles)} rows are no SMILES ({shown}); correct or remove them")


def problem_of(smiles: str) -> str | None:
    """What makes the text no SMILES, in words; None where the grammar has nothing against it.

    White space around it counts for nothing. Cost: one scan.
    """
    smiles = smiles.strip()
    if not smiles:
        return "empty"
    depth, rings, before, place = 0, set[str](), "start", 0
    while place < len(smiles):
        match = TOKEN.match(smiles, place)
        if match is None:
            return f"{smiles[place]!r} at {place} belongs to no token"
        kind = match.lastgroup or ""
        element = match["element"]
        if element is not None and element not in ELEMENTS:
            return f"{element!r} at {match.start('element')} is no element"
        if problem := _misplaced(kind, before, depth):
            return f"{problem} at {place}"
        if kind == "ring":
            rings ^= {match.group().lstrip("%").lstrip("0")}
        depth += (kind == "open") - (kind == "close")
        before, place = "atom" if kind in ("bracket", "ring") else kind, match.end()
    if depth:
        return f"{depth} branches are not closed"
    if rings:
        return f"ring {min(rings) or '0'} is not closed"
    return "ends in a bond" if before == "bond" else "ends in a dot" if before == "dot" else None


def _misplaced(kind: str, before: str, depth: int) -> str | None:
    """Why a token cannot follow another one."""
    if kind == "close" and depth == 0:
        return "a branch closes that was not opened"
    if kind in ("ring", "close", "open", "dot") and before in ("start", "dot"):
        return f"{NAMES[kind]} follows no atom"
    if kind in ("close", "open", "dot") and before in ("bond", "open"):
        return f"{NAMES[kind]} follows a bond or an opening branch"
    return "two bonds" if kind == "bond" and before == "bond" else None
