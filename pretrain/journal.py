"""What a line of journal.jsonl may tell: the names of its events, and of those that one sentence tells, the sentence.

Who decides writes them; the page's marks, the alerts and a replay read them.
"""

from __future__ import annotations

# the guard's verdict on a step
SKIP, NEW_LEVEL, STOP = "skip", "new_level", "stop"
# going back: decided, carried out
REWIND, REWOUND = "rewind", "rewound"
REPLAY, REPLAYING = "replay", "replaying"
GOING = {REWIND: REWOUND, REPLAY: REPLAYING}
# how one ends by which nothing is passed over
FAULT, NOT_AGAIN, NO_WAY = "compute_fault", "not_reproduced", "no_way_back"
TAKEN = "windows_taken"  # of another run's journal
ASKED = "asked"  # through the control file
NO_REQUEST = "no_request"  # lines of the control file that ask for nothing that there is
BEGUN = "begun_from"  # the run's first steps are another's
CHANGE = "change"  # what the run goes on with from `step` on is not as it was
SET_ASIDE = "checkpoint_set_aside"
DIVERGING = "diverging"  # the loss stays above that of the fresh weights
DYING_LAYER = "dying_layer"  # a layer's gradient stays near zero

TOLD = {
    FAULT: "done again, the step gave other bits: the machine, not the data; nothing is passed over",
    NOT_AGAIN: "the trouble did not come again; nothing is passed over",
    NO_WAY: "there is no healthy checkpoint from before it to go back to; the run goes on",
}
# what a replay shows
BITS_COMPARED = "other bits would mean a faulty machine"
BITS_NOT_COMPARED = (
    "whether the trouble comes again; their bits are not compared, for without trainer.deterministic=true this device "
    "may give others each time"
)
