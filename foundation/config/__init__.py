"""One Hydra tree, checked against the signatures of what it configures.

`compose` turns a command line into a plain tree, `check` compares every key and type of it with the constructors'
signatures and gives back nodes, `build` calls them. There are no config classes: the signature is the schema.
"""

from foundation.config.build import build, rehearse
from foundation.config.check import check
from foundation.config.node import Node
from foundation.config.targets import DEFAULT_TARGETS

__all__ = ["DEFAULT_TARGETS", "Node", "build", "check", "rehearse"]
