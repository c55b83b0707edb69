"""Follow refunds until they end: each change once, at little cost in calls.

`follow` looks refunds up at two paces, behind all other calls, and at once when the vendor pushes something
about one. It yields each change, and resumes where it stopped if it is given a file.
"""

from pandapon_async.follow.changes import Change, ChangeKind, Seen, Stuck
from pandapon_async.follow.following import Following, follow
from pandapon_async.follow.pace import Pace

__all__ = ["Change", "ChangeKind", "Following", "Pace", "Seen", "Stuck", "follow"]
