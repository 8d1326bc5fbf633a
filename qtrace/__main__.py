"""`python -m qtrace`: the same as the `qtrace` command."""

from qtrace.cli.main import main

if __name__ == "__main__":
    main()
