"""What a command says when it cannot do what was asked."""


class CommandFailed(Exception):
    """Said to the user as it is, without a traceback: what is wrong and what to do about it."""
