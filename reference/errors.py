"""The one kind of error that is the user's to mend."""


class UserError(Exception):
    """Something the user asked for cannot be done; the message is one sentence with what to do next.

    The command line prints the message alone and exits with status 2. Every other exception is a defect.

    Attributes:
        is_echo: whether it only says that another process has failed.
    """

    is_echo = False
