"""The one exception for misuse."""


class InputError(ValueError):
    """Input that the method cannot use; the message names it and says what to do."""
