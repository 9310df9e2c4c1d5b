"""Which rank hangs, and which ones only wait for it: from their signs of life alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from pretrain.heartbeat import Beat, Phase

LONG = frozenset({Phase.STARTING, Phase.SAVING, Phase.EVALUATING, Phase.ENDING})
MAY_WAIT = frozenset({Phase.EXCHANGE, Phase.DEVICE, Phase.ENDED})  # in these the others may be what it waits for
LONG_FACTOR = 6  # these, and the first step, which compiles, may be silent for so many times the limit; none for longer
SLACK_S = 600.0  # an exchange waits for so long beyond that: the watchdog of the silent rank's node is to name it first
SEEN_FACTOR = 3  # who has come back from a longer silence may take this many times as long again


def longest_s(hang_timeout_s: float) -> float:
    """Return how long any rank may be silent, in seconds: the exchanges' timeout and all limits here rest on it."""
    return LONG_FACTOR * hang_timeout_s


def exchange_s(hang_timeout_s: float) -> float:
    """Return how long a rank waits for the others in one exchange, in seconds."""
    return longest_s(hang_timeout_s) + SLACK_S


@dataclass(slots=True)
class _Silence:
    beat_ns: int = -1
    seconds: float = 0.0
    longest_s: float = 0.0  # of those that ended


@dataclass(slots=True)
class Judge:
    """Counts how long each rank has been silent.

    A look that comes late counts for one in time: when the whole machine stood still, nobody was silent.

    Args:
        hang_timeout_s: silence of a rank at work that is a hang.
        look_s: longest time between two looks.
        all_here: whether all ranks of the run are on this node. If not, ranks that wait may wait for another node's,
            which that node's own watchdog names first.
    """

    hang_timeout_s: float
    look_s: float
    all_here: bool
    _silences: dict[int, _Silence] = field(default_factory=dict)

    def look(self, beats: list[Beat], passed_s: float) -> None:
        """Take the ranks' slots, so long after the last look."""
        for beat in beats:
            silence = self._silences.setdefault(beat.rank, _Silence())
            if silence.beat_ns == beat.beat_ns:
                silence.seconds += min(passed_s, 2 * self.look_s)
                continue
            silence.longest_s = max(silence.longest_s, silence.seconds)
            silence.beat_ns, silence.seconds = beat.beat_ns, 0.0

    def silent_s(self, rank: int) -> float:
        """Return the seconds since that rank's last sign, as counted here."""
        return self._silences[rank].seconds

    def limit_s(self, beat: Beat) -> float:
        """Return how long a rank may be silent where it is."""
        first_step = beat.steps_begun <= 1
        factor = LONG_FACTOR if beat.phase in LONG or first_step else 1
        seen_s = SEEN_FACTOR * self._silences[beat.rank].longest_s
        return min(max(factor * self.hang_timeout_s, seen_s), longest_s(self.hang_timeout_s))

    def hanging(self, beats: list[Beat]) -> list[Beat]:
        """Return the ranks that hang, by their signs: at work, and silent for too long.

        Where every rank waits, those that have begun the fewest exchanges are what the others wait for; if all stand
        at the same place, all are named.
        """
        at_work = [beat for beat in beats if not _may_wait(beat) and self.silent_s(beat.rank) > self.limit_s(beat)]
        if at_work:
            return _last(at_work)
        all_wait = all(_may_wait(beat) and self.silent_s(beat.rank) > self._patience_s(beat) for beat in beats)
        return _last(beats) if beats and all_wait else []

    def _patience_s(self, beat: Beat) -> float:
        """Return how long a rank may wait: for another node's, longer than that node's watchdog takes to name it."""
        return self.limit_s(beat) if self.all_here else longest_s(self.hang_timeout_s) + SLACK_S / 2


def place(beat: Beat) -> tuple[int, int, int, int]:
    """Return how far a rank is: of two ranks that hold each other up, the other one waits for the lower."""
    return beat.collectives, beat.step, beat.micro_batch, beat.phase


def _last(beats: list[Beat]) -> list[Beat]:
    furthest_back = min(place(beat) for beat in beats)
    return [beat for beat in beats if place(beat) == furthest_back]


def _may_wait(beat: Beat) -> bool:
    return beat.waiting or beat.phase in MAY_WAIT
