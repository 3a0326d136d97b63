"""The one error of this room."""


class MessageError(ValueError):
    """A message cannot be understood; the text is one sentence that says why and what would do."""
