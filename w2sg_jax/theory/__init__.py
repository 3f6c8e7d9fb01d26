"""The paper, bottom to top: kernel, spectrum, smoother, gap operator, and what follows from them."""
