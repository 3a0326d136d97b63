"""The one error of the data-set readers."""


class DatasetError(ValueError):
    """A data set cannot be used; the text is one sentence that says what is wrong and what would do."""
