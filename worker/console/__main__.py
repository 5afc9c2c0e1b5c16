"""`python -m worker.console` is `dalmada` where the script is not installed."""

from worker.console.app import main

if __name__ == "__main__":
    main()
