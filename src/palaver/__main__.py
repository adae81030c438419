"""`python -m palaver` is the `palaver` command."""

from palaver.cli.main import main

if __name__ == "__main__":
    main()
