"""Data sets: what is bundled with the package or fetched once, checked whenever it is read, and one's own texts."""

from .corpus import load_corpus as load_corpus
from .molecules import MoleculeSet as MoleculeSet
from .molecules import load_esol as load_esol
from .molecules import load_freesolv as load_freesolv
from .molecules import load_lipophilicity as load_lipophilicity
from .molecules import load_moses_sample as load_moses_sample
from .tasks import TASKS as TASKS
from .tasks import TextTask as TextTask
from .tasks import load_text as load_text
from .text import TextSet as TextSet
from .text import read_text as read_text
from .text import read_unlabelled as read_unlabelled
from .text import text_set as text_set
from .text_splits import TextSplits as TextSplits
from .text_splits import text_splits as text_splits
