"""The one exception that users are meant to read."""


class MitrError(Exception):
    """Something in the user's input stops the work; the message says what, where, and what to do.

    The command line prints the message alone and exits with status 2.
    """
