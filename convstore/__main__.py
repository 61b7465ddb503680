"""`python -m convstore` is the `convstore` command."""

from convstore.cli import main

if __name__ == "__main__":
    main()
