"""Exceptions whose text is meant for the user."""


class UserError(Exception):
    """What happened, with the value, and what to do about it. The command prints it and exits with `code`."""

    code = 2


class NonFinite(UserError):
    """A loss or gradient that is not finite, caught before the optimizer's step."""

    code = 3

    def __init__(self, player: str, loss: float, norm: float, where: str = "") -> None:
        self.player, self.loss, self.norm = player, loss, norm
        super().__init__(where or f"player {player}: loss {loss}, gradient norm {norm}")


class Interrupted(UserError):
    """The run was asked to stop, has saved its state, and can go on by the same command."""

    def __init__(self, signal_number: int, message: str) -> None:
        self.code = 128 + signal_number
        super().__init__(message)
