"""How often a server may be asked, after what it has said: the kiss-o'-death rules of RFC 5905 section 7.4.

Rule: a server's wish is obeyed and never hidden. RATE doubles the pause between polls; DENY and RSTR stop the target, and a
slow retry finds out when that ends. Time is a parameter: seconds on a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from timesync.reasons import Reason

__all__ = ["Hold", "Pacing"]

# The slowest pace of RFC 5905 (MAXPOLL, section 7.2): each RATE must slow the client further, whatever its own interval.
MAX_RATE_PAUSE_S = 131072.0
FIRST_DENY_PAUSE_S = 3600.0
MAX_DENY_PAUSE_S = 86400.0
REPLIES_TO_RECOVER = 8


@dataclass(frozen=True, slots=True)
class Hold:
    """A poll that must not be sent: why, and when the next may be (seconds on the caller's monotonic clock)."""

    reason: Reason
    until_s: float


class Pacing:
    """The pace of one association. `interval_s` is the configured interval, the pace when nothing is wrong."""

    def __init__(self, interval_s: float, *, first_deny_pause_s: float = FIRST_DENY_PAUSE_S) -> None:
        self._interval_s = interval_s
        self._first_deny_pause_s = max(first_deny_pause_s, interval_s)
        self._rate_pause_s = 0.0
        self._deny_pause_s = 0.0
        self._denied: Reason | None = None
        self._sent_s = float("-inf")
        self._not_before_s = float("-inf")
        self._good_replies = 0

    @property
    def denied(self) -> Reason | None:
        """The kiss that stopped this target, until a good reply comes."""
        return self._denied

    @property
    def rate_pause_s(self) -> float:
        """The least time between polls that the server has asked for; 0 when it has not."""
        return self._rate_pause_s

    def hold(self, now_s: float) -> Hold | None:
        """None if a poll may be sent now, else why not."""
        if now_s >= self._not_before_s:
            return None
        reason = Reason.HELD_BY_RATE if self._denied is None else Reason.STOPPED_BY_SERVER
        return Hold(reason, self._not_before_s)

    def sent(self, now_s: float) -> None:
        """A poll was sent: while the server wants a slower pace the next one waits, and a retry after a denial is the only one."""
        self._sent_s = now_s
        pause_s = max(self._rate_pause_s, self._deny_pause_s)
        if pause_s:
            self._not_before_s = max(self._not_before_s, now_s + pause_s)

    def kissed(self, reason: Reason, now_s: float) -> None:
        """The server sent RATE, DENY or RSTR (already checked to be an answer to us)."""
        self._good_replies = 0
        if reason is Reason.KISS_RATE:
            slower = max(2.0 * self._rate_pause_s, 2.0 * self._interval_s)
            self._rate_pause_s = min(slower, MAX_RATE_PAUSE_S)
            self._not_before_s = max(self._not_before_s, now_s + self._rate_pause_s)
        elif reason in {Reason.KISS_DENY, Reason.KISS_RSTR}:
            again = min(2.0 * self._deny_pause_s, MAX_DENY_PAUSE_S)
            self._deny_pause_s = max(again, self._first_deny_pause_s)
            self._denied = reason
            self._not_before_s = now_s + self._deny_pause_s

    def answered(self) -> bool:
        """A good reply came. True if this ends a denial. After eight of them a slowed pace is halved again."""
        ended = self._denied is not None
        if ended:
            self._denied = None
            self._deny_pause_s = 0.0
            self._not_before_s = self._sent_s + self._rate_pause_s
        self._good_replies += 1
        if self._rate_pause_s and self._good_replies >= REPLIES_TO_RECOVER:
            self._good_replies = 0
            self._rate_pause_s /= 2.0
            if self._rate_pause_s <= self._interval_s:
                self._rate_pause_s = 0.0
        return ended
