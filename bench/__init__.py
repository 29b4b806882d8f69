"""The project's figures, measured: `make bench` for all of them, `python -m bench describing` for a part."""
