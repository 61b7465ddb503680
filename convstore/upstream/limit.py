"""How long an answer may take: between two reads, and from its first byte to its last."""

import time


class Limit:
    """The time an answer has left. read_s: seconds between two reads; total_s: seconds in all, from now."""

    def __init__(self, read_s: float, total_s: float) -> None:
        self._read_s = read_s
        self._deadline = time.monotonic() + total_s

    @property
    def is_over(self) -> bool:
        """Whether the whole time is up."""
        return time.monotonic() >= self._deadline

    def left(self) -> float:
        """Seconds that the next read may take. Raises TimeoutError when the whole time is up."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the whole time is up")
        return min(self._read_s, left)

    def shorten(self, total_s: float) -> None:
        """Allow no more than this from now on."""
        self._deadline = min(self._deadline, time.monotonic() + total_s)
