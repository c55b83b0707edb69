"""`python -m pandapon_async` is the same command as `pandapon`."""

from pandapon_async.cli import main

if __name__ == "__main__":
    main()
