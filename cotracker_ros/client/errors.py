"""What the client raises."""


class ClientError(ValueError):
    """The question has no answer, or a request was refused; the message is one sentence that says why."""
