"""What a user can cause and should read as one line."""


class InputError(ValueError):
    """Something the user gave (an option, a file, a folder) cannot be used, and why."""


class RunStoppedError(RuntimeError):
    """A training run ended early; the message says where, what is kept, and how to go on."""
