"""Valid arguments for any declared call: the package's own examples, under the name that tests use."""

from __future__ import annotations

from pandapon_async.openapi.examples import PNG, example, example_arguments

__all__ = ["PNG", "example", "example_arguments"]
