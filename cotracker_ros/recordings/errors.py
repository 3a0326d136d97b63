"""The one error of this room."""


class RecordingError(ValueError):
    """A recording cannot be read or written; the text is one sentence that says why and what would do."""
