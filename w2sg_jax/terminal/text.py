"""Text from outside, such as file names, made safe for a terminal."""


def printable(text: str) -> str:
    """Writes control characters, and bytes that are no text, as escapes: they could move a terminal's cursor."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
