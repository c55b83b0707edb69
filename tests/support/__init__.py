"""What the tests stand on: time that passes only when nothing else can happen, and servers that misbehave."""
