"""python -m dojo: the sessions of the katas."""

from dojo.cli import main

if __name__ == "__main__":
    main()
