"""The failures that the launcher explains to a person instead of showing a traceback."""


class LauncherError(Exception):
    """Something a person can put right.

    Attributes:
        problem: what was wrong.
        remedy: what would be right; empty when the problem says it all.
        status: the exit status the command ends with.
    """

    def __init__(self, problem: str, remedy: str = "", *, status: int = 1) -> None:
        self.problem = problem
        self.remedy = remedy
        self.status = status
        super().__init__(f"{problem}\n{remedy}" if remedy else problem)


class WaitTimeoutError(LauncherError):
    """A condition did not come true within its bound."""


class ChildDiedError(LauncherError):
    """A child ended although it was still needed."""
