"""Encoders: models (Flax NNX) that turn samples into representations, with their tokenizers and files."""

from .encode import encode as encode
from .gguf import GgufCheckpoint as GgufCheckpoint
from .language_model import LanguageModel as LanguageModel
from .language_model import Pretrained as Pretrained
from .language_model import from_pretrained as from_pretrained
from .language_model import open_pretrained as open_pretrained
from .pretrained import load_encoder as load_encoder
from .pretrained import save_encoder as save_encoder
from .text_tokenizer import TextTokenizer as TextTokenizer
from .text_tokenizer import Tokens as Tokens
from .tokenizer import SmilesTokenizer as SmilesTokenizer
from .tokenizer import split_smiles as split_smiles
from .tokens import TokenSet as TokenSet
from .transformer import Encoder as Encoder
from .transformer import EncoderConfig as EncoderConfig
