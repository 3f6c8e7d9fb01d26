"""Encoders: models (Flax NNX) that turn samples into representations, with their tokenizers and files."""

from w2sg_jax.encoders.encode import encode as encode
from w2sg_jax.encoders.files import load_encoder as load_encoder
from w2sg_jax.encoders.files import save_encoder as save_encoder
from w2sg_jax.encoders.tokenizer import SmilesTokenizer as SmilesTokenizer
from w2sg_jax.encoders.tokenizer import split_smiles as split_smiles
from w2sg_jax.encoders.tokens import TokenSet as TokenSet
from w2sg_jax.encoders.transformer import Encoder as Encoder
from w2sg_jax.encoders.transformer import EncoderConfig as EncoderConfig
