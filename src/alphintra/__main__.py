"""`python -m alphintra` is the `alphintra` command."""

from alphintra.cli import main

if __name__ == "__main__":
    main()
