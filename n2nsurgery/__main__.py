"""`python -m n2nsurgery`: the command line, for launchers that start modules."""

from n2nsurgery_cli.start import start

if __name__ == "__main__":
    start()
