"""python -m reference: see reference.cli."""

from reference.cli import main

if __name__ == "__main__":
    main()
