"""The one exception whose text is meant for the user."""


class UserError(Exception):
    """What happened, with the value, and what to do about it. The command prints it and exits with code 2."""
